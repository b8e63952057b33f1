//! `draw`: one run as a picture, of three parts over one axis of time.
//!
//! Above, how far off served time was, with what the discipline believed of it and every answer it had to
//! go by; in the middle, on a logarithmic scale, the error against the root distance that was claimed;
//! below, every request.
//!
//! Must never: hide a promise broken: the picture ends there and says so.

use std::process::ExitCode;

use timeball_sim::{Broken, Chrony, Figures, Look, Scenario, Trace, World, odd_world, worlds};

use crate::cli::DrawOptions;
use crate::svg::{Area, Svg};
use crate::table::number;
use crate::{EXIT_BROKEN, fail};

pub(crate) fn run(options: &DrawOptions) -> ExitCode {
    let mut subject = match find(&options.name, options.seed) {
        Ok(subject) => subject,
        Err(problem) => return fail(&problem),
    };
    if options.burst {
        subject.scenario = subject.scenario.with_burst();
    }
    let mut world = subject.scenario.open(options.seed);
    world.trace = Some(Trace::default());
    let broken = subject.scenario.finish(&mut world).err();
    let last = options.to.unwrap_or(world.looks.len()).min(world.looks.len());
    let picture = Picture {
        subject: &subject,
        seed: options.seed,
        world: &world,
        broken: broken.as_ref(),
        from: options.from.min(last.saturating_sub(1)),
        to: last,
    };
    print!("{}", picture.draw());
    if broken.is_some() { ExitCode::from(EXIT_BROKEN) } else { ExitCode::SUCCESS }
}

/// What is drawn.
struct Subject {
    name: &'static str,
    about: String,
    scenario: Scenario,
    chrony: Option<Chrony>,
}

/// The world of that name; "swarm" is the odd world that `seed` draws.
fn find(name: &str, seed: u64) -> Result<Subject, String> {
    if name.eq_ignore_ascii_case("swarm") {
        let about = "an odd world".to_owned();
        return Ok(Subject { name: "swarm", about, scenario: odd_world(seed), chrony: None });
    }
    let all = worlds();
    let Some(named) = all.iter().find(|world| world.name.eq_ignore_ascii_case(name)) else {
        let names: Vec<_> = all.iter().map(|world| world.name).collect();
        return Err(format!("no world is called {name:?}; there are swarm, {}", names.join(", ")));
    };
    let (about, scenario) = (named.about.to_owned(), named.scenario.clone());
    Ok(Subject { name: named.name, about, scenario, chrony: Some(named.chrony) })
}

struct Picture<'a> {
    subject: &'a Subject,
    seed: u64,
    world: &'a World,
    broken: Option<&'a Broken>,
    /// Seconds, the second excluded.
    from: usize,
    to: usize,
}

impl Picture<'_> {
    fn draw(&self) -> String {
        let sources = self.world.servers.len() as f64;
        let rug = Area { y: RUG_Y, height: ROW * sources, ..UPPER };
        let mut svg = Svg::new(WIDTH, rug.bottom() + 60.0);
        self.title(&mut svg);
        for area in [&UPPER, &LOWER, &rug] {
            svg.rect(area, PAPER);
            self.unsynchronised(&mut svg, area);
            self.time_grid(&mut svg, area);
        }
        self.errors(&mut svg);
        self.distances(&mut svg);
        self.requests(&mut svg, &rug);
        self.time_axis(&mut svg, &rug);
        svg.finish()
    }

    fn title(&self, svg: &mut Svg) {
        let Subject { name, about, scenario, chrony } = self.subject;
        svg.label((MARGIN, 30.0), "start", "font-size=\"18\" font-weight=\"bold\"", name);
        let heading = format!("{about}, seed {}", self.seed);
        let after = MARGIN + 12.0 + 13.0 * name.len() as f64;
        svg.label((after, 30.0), "start", &format!("font-size=\"15\" fill=\"{GREY}\""), &heading);
        let figures = Figures::of(self.world, scenario.window);
        let micros = |seconds: f64| number(Some(seconds * 1e6));
        let chrony = chrony.map_or(String::new(), |chrony| {
            format!(" (chrony {} µs)", number(Some(chrony.rms_us)))
        });
        let summary = format!(
            "RMS {} µs{} · p95 {} µs · worst {} µs · a request every {} s",
            micros(figures.rms_s),
            chrony,
            micros(figures.p95_s),
            micros(figures.worst_s),
            number(Some(figures.poll_s)),
        );
        let summary = self.broken.map_or(summary, |broken| format!("PROMISE BROKEN {broken}"));
        let fill = if self.broken.is_some() { RED } else { GREY };
        svg.label((UPPER.right(), 30.0), "end", &format!("fill=\"{fill}\""), &summary);
    }

    fn looks(&self) -> impl Iterator<Item = (usize, &Look)> {
        self.world.looks[self.from..self.to].iter().enumerate().map(|(k, l)| (self.from + k + 1, l))
    }

    fn x(&self, second: f64) -> f64 {
        let share = (second - self.from as f64) / (self.to - self.from).max(1) as f64;
        UPPER.x + UPPER.width * share
    }

    /// Grey where clients are told not to believe the time.
    fn unsynchronised(&self, svg: &mut Svg, area: &Area) {
        let mut begin: Option<usize> = None;
        let last = self.to + 1;
        for (second, look) in self.looks().map(|(s, l)| (s, l.synchronised)).chain([(last, true)]) {
            if !look {
                begin.get_or_insert(second);
            } else if let Some(begin) = begin.take() {
                let x = self.x((begin - 1) as f64);
                let width = self.x((second - 1) as f64) - x;
                svg.rect(&Area { x, width, ..*area }, SHADE);
            }
        }
    }

    fn time_grid(&self, svg: &mut Svg, area: &Area) {
        for second in ticks(self.from as f64, self.to as f64, 10.0) {
            let x = self.x(second);
            svg.line((x, area.y), (x, area.bottom()), GRID, 1.0);
        }
    }

    fn time_axis(&self, svg: &mut Svg, area: &Area) {
        for second in ticks(self.from as f64, self.to as f64, 10.0) {
            let text = format!("{second}");
            svg.label((self.x(second), area.bottom() + 18.0), "middle", AXIS, &text);
        }
        let middle = UPPER.x + UPPER.width / 2.0;
        svg.label((middle, area.bottom() + 40.0), "middle", AXIS, "seconds since the start");
    }

    /// The upper part.
    fn errors(&self, svg: &mut Svg) {
        let trace = self.world.trace.as_ref();
        let (answers, estimates) =
            trace.map_or((&[][..], &[][..]), |t| (t.answers.as_slice(), t.estimates.as_slice()));
        let reach = self.reach();
        let (factor, unit) = scale_of(reach);
        let y = |v: f64| UPPER.y + UPPER.height * (0.5 - v / reach / 2.0);
        for value in ticks(-reach * factor, reach * factor, 8.0) {
            let at = y(value / factor);
            svg.line((UPPER.x, at), (UPPER.right(), at), GRID, 1.0);
            svg.label((UPPER.x - 8.0, at + 4.0), "end", AXIS, &format!("{value}"));
        }
        svg.line((UPPER.x, y(0.0)), (UPPER.right(), y(0.0)), GREY, 1.0);
        svg.label((UPPER.x - 8.0, UPPER.y - 8.0), "end", AXIS, unit);
        let believed = |sign: f64| {
            let seconds = (self.from..self.to).filter_map(|k| Some((k + 1, (*estimates.get(k)?)?)));
            self.outlines(seconds.map(move |(s, b)| (s, b.error + sign * b.deviation)), y)
        };
        let bands = believed(1.0).into_iter().zip(believed(-1.0));
        let bands: Vec<Vec<_>> = bands
            .map(|(high, low)| high.into_iter().chain(low.into_iter().rev()).collect())
            .collect();
        let awake = self.looks().filter(|(_, look)| !look.asleep);
        let lines = self.outlines(awake.map(|(second, look)| (second, look.error)), y);
        svg.clipped(&UPPER, |svg| {
            bands.iter().for_each(|band| svg.polygon(band, BAND));
            for answer in answers {
                let at = (self.x(answer.at_s), y(answer.error.clamp(-reach, reach)));
                svg.dot(at, 2.2, ORANGE);
            }
            lines.iter().for_each(|line| svg.path(line, BLUE, 1.4));
        });
        legend(
            svg,
            &UPPER,
            &[(BLUE, "served − true time"), (BAND, "estimate ± deviation"), (ORANGE, "answers")],
        );
    }

    /// The largest error the upper part has room for: nearly all of what was served, and the estimate.
    fn reach(&self) -> f64 {
        let mut sizes: Vec<f64> = self
            .looks()
            .filter(|(_, look)| look.synchronised)
            .map(|(_, look)| look.error.abs())
            .collect();
        sizes.sort_by(f64::total_cmp);
        let most = sizes.get(sizes.len() * 998 / 1000).copied().unwrap_or(1.0);
        (1.6 * most).max(1e-9)
    }

    /// The middle part.
    fn distances(&self, svg: &mut Svg) {
        let believed = || self.looks().filter(|(_, look)| look.synchronised);
        let most = believed().map(|(_, look)| look.distance).fold(1e-6, f64::max).log10().ceil();
        let least = most - DECADES;
        let y = |v: f64| {
            let share = (v.max(1e-12).log10() - least) / DECADES;
            LOWER.bottom() - LOWER.height * share
        };
        for decade in 0..=DECADES as i32 {
            let value = 10f64.powf(least + f64::from(decade));
            svg.line((LOWER.x, y(value)), (LOWER.right(), y(value)), GRID, 1.0);
            let (factor, unit) = scale_of(value);
            let text = format!("{} {unit}", (value * factor).round());
            svg.label((LOWER.x - 8.0, y(value) + 4.0), "end", AXIS, &text);
        }
        let errors = self.outlines(believed().map(|(s, look)| (s, look.error.abs())), y);
        let distances = self.outlines(believed().map(|(s, look)| (s, look.distance)), y);
        svg.clipped(&LOWER, |svg| {
            errors.iter().for_each(|line| svg.path(line, BLUE, 1.2));
            distances.iter().for_each(|line| svg.path(line, RED, 1.6));
        });
        legend(svg, &LOWER, &[(BLUE, "size of the error"), (RED, "root distance claimed")]);
    }

    /// Lines through all values, however many fall into one column of pixels; broken where seconds are
    /// missing.
    fn outlines(
        &self,
        values: impl Iterator<Item = (usize, f64)>,
        y: impl Fn(f64) -> f64,
    ) -> Vec<Vec<(f64, f64)>> {
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last = None;
        for (second, value) in values {
            if last != Some(second - 1) {
                pieces.push(Vec::new());
            }
            last = Some(second);
            if let Some(piece) = pieces.last_mut() {
                piece.push((self.x(second as f64), value));
            }
        }
        let line = |piece: Vec<(f64, f64)>| {
            let mut line = Vec::new();
            for (x, low, high) in columns(piece.into_iter()) {
                line.push((x, y(low)));
                if (y(high) - y(low)).abs() > VISIBLE {
                    line.push((x, y(high)));
                }
            }
            line
        };
        pieces.into_iter().map(line).collect()
    }

    /// The lower part: a row for each source.
    fn requests(&self, svg: &mut Svg, area: &Area) {
        for index in 0..self.world.servers.len() {
            let top = area.y + ROW * index as f64;
            let lies = if self.world.servers[index].is_honest() { "" } else { " (liar)" };
            let name = format!("{index}{lies}");
            svg.label((area.x - 8.0, top + 0.75 * ROW), "end", AXIS, &name);
        }
        svg.label((area.x - 8.0, area.y - 8.0), "end", AXIS, "requests");
        svg.clipped(area, |svg| {
            for (at_s, source, _) in &self.world.sent {
                let (x, top) = (self.x(*at_s), area.y + ROW * source.index() as f64);
                svg.line((x, top + 3.0), (x, top + ROW - 3.0), BLUE, 1.0);
            }
        });
    }
}

fn legend(svg: &mut Svg, area: &Area, entries: &[(&str, &str)]) {
    let mut x = area.x + 2.0;
    for (colour, text) in entries {
        svg.rect(&Area { x, y: area.y - 15.0, width: 14.0, height: 8.0 }, colour);
        svg.label((x + 20.0, area.y - 7.0), "start", AXIS, text);
        x += 40.0 + 6.5 * text.chars().count() as f64;
    }
}

/// Least and largest value of each column of pixels.
fn columns(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64, f64)> {
    let mut found: Vec<(f64, f64, f64)> = Vec::new();
    for (x, value) in points {
        match found.last_mut().filter(|(last, _, _)| (x - *last).abs() < COLUMN) {
            Some((_, low, high)) => (*low, *high) = (low.min(value), high.max(value)),
            None => found.push((x, value, value)),
        }
    }
    found
}

/// Round values from `low` to `high`, about `count` of them.
fn ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let rough = (high - low) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(rough);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    // Products of a round step: rounded again to read as such.
    (first..=last).map(|k| (k as f64 * step * 1e9).round() / 1e9).collect()
}

/// The factor and the name of the unit that suits a value in seconds.
const fn scale_of(value: f64) -> (f64, &'static str) {
    if value >= 0.99 {
        (1.0, "s")
    } else if value >= 0.99e-3 {
        (1e3, "ms")
    } else if value >= 0.99e-6 {
        (1e6, "µs")
    } else {
        (1e9, "ns")
    }
}

const WIDTH: f64 = 1280.0;
const MARGIN: f64 = 90.0;
const UPPER: Area = Area { x: MARGIN, y: 60.0, width: WIDTH - MARGIN - 30.0, height: 340.0 };
const LOWER: Area = Area { y: 435.0, height: 220.0, ..UPPER };
const RUG_Y: f64 = 690.0;
/// Height of a source's row of requests.
const ROW: f64 = 18.0;
/// Width of a column of values drawn as one, and the least height worth drawing, in pixels.
const COLUMN: f64 = 1.5;
const VISIBLE: f64 = 0.5;
/// Of the logarithmic scale.
const DECADES: f64 = 6.0;
const PAPER: &str = "#fafafa";
const SHADE: &str = "#dcdcdc";
const GRID: &str = "#e4e4e4";
const GREY: &str = "#666666";
const BLUE: &str = "#1f5fa8";
const BAND: &str = "#bfd8f2";
const ORANGE: &str = "#e0812b";
const RED: &str = "#b8292f";
const AXIS: &str = "fill=\"#444444\"";
