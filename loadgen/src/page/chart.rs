//! Charts as inline SVG: lines, bars and intervals over two axes.
//!
//! Colours are names of the page's style, so that one drawing serves light and dark. What a point says is
//! its title, which browsers show when it is pointed at: no script.
//!
//! Must never: refer to anything outside the page.

use std::fmt::Write;

use super::scale::{Scale, Unit};

/// One chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The lines, those behind first.
    pub lines: Vec<Line>,
    /// Bars from `x.0` to `x.1`, as high as the third.
    pub bars: Vec<(f64, f64, f64)>,
    /// A vertical line and what it says.
    pub mark: Option<(f64, String)>,
    /// Whether the line of y = x is drawn.
    pub ideal: bool,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What its figures are of.
    pub label: &'static str,
    /// Where they lie.
    pub scale: Scale,
    /// How they are written.
    pub unit: Unit,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend, and for whoever points at it.
    pub name: String,
    /// A colour of the style, such as `a`.
    pub colour: &'static str,
    /// Figures of both axes, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
    /// Whether the points themselves are drawn; for few.
    pub dots: bool,
}

impl Chart {
    /// Axes and nothing else yet.
    pub const fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, lines: Vec::new(), bars: Vec::new(), mark: None, ideal: false }
    }

    /// The legend, if there is more than one line, and the drawing.
    pub fn html(&self, title: &str) -> String {
        let mut html = String::new();
        if self.lines.len() > 1 {
            html.push_str("<ul class=\"legend\">");
            for line in &self.lines {
                put(
                    &mut html,
                    format_args!(
                        "<li><i style=\"background:var(--{})\"></i>{}</li>",
                        line.colour,
                        escaped(&line.name)
                    ),
                );
            }
            html.push_str("</ul>");
        }
        put(
            &mut html,
            format_args!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
                escaped(title)
            ),
        );
        self.draw(&mut html);
        html.push_str("</svg>");
        html
    }

    /// The same inside a larger drawing, at `(x, y)` of it, below its title and legend: [`CELL`] in all.
    pub(super) fn put_into(&self, svg: &mut String, title: &str, (x, y): (f64, f64)) {
        put(svg, format_args!("<g transform=\"translate({x} {y})\">"));
        put(svg, format_args!("<text class=\"title\" y=\"16\">{}</text>", escaped(title)));
        let mut left = 0.0;
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let (colour, name) = (line.colour, escaped(&line.name));
            put(
                svg,
                format_args!(
                    "<path stroke=\"var(--{colour})\" stroke-width=\"3\" d=\"M{left} 32h14\"/>\
                     <text x=\"{}\" y=\"36\">{name}</text>",
                    left + 20.0
                ),
            );
            left += 40.0 + 7.0 * line.name.chars().count() as f64;
        }
        put(svg, format_args!("<g transform=\"translate(0 {})\">", CELL.1 - HEIGHT));
        self.draw(svg);
        svg.push_str("</g></g>");
    }

    fn draw(&self, svg: &mut String) {
        self.draw_axes(svg);
        self.draw_bars(svg);
        if self.ideal {
            self.draw_ideal(svg);
        }
        self.lines.iter().for_each(|line| self.draw_line(svg, line));
        if let Some((at, text)) = &self.mark {
            self.draw_mark(svg, *at, text);
        }
    }

    fn left(&self, value: f64) -> f64 {
        LEFT + self.x.scale.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.scale.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in self.y.scale.ticks() {
            let (y, text) = (self.top(tick), self.y.unit.text(tick));
            put(svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
            let (x, y) = (LEFT - 8.0, y + 4.0);
            put(
                svg,
                format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"),
            );
        }
        for tick in self.x.scale.ticks() {
            let (x, text) = (self.left(tick), self.x.unit.text(tick));
            put(svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>"));
            let y = bottom + 18.0;
            put(
                svg,
                format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>"),
            );
        }
        put(svg, format_args!("<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>"));
        let (x, y) = (right, HEIGHT - 4.0);
        let label = escaped(self.x.label);
        put(svg, format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{label}</text>"));
        let label = escaped(self.y.label);
        put(svg, format_args!("<text x=\"{LEFT}\" y=\"12\" text-anchor=\"start\">{label}</text>"));
    }

    fn draw_line(&self, svg: &mut String, line: &Line) {
        let colour = line.colour;
        // Several measured at one place make no line.
        if !line.points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let mut path = String::new();
            for (index, &(x, y)) in line.points.iter().enumerate() {
                let letter = if index == 0 { 'M' } else { 'L' };
                put(&mut path, format_args!("{letter}{:.1} {:.1}", self.left(x), self.top(y)));
            }
            put(
                svg,
                format_args!("<path class=\"line\" stroke=\"var(--{colour})\" d=\"{path}\"/>"),
            );
        }
        let radius = if line.dots { 3.5 } else { 6.0 };
        let fill = if line.dots { format!("var(--{colour})") } else { "transparent".to_owned() };
        // A point every few pixels says enough; each is an element.
        let every = line.points.len().div_ceil(POINTS_MAX).max(1);
        for &(x, y) in line.points.iter().step_by(every) {
            put(
                svg,
                format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{fill}\"><title>{}: {} at {}\
                     </title></circle>",
                    self.left(x),
                    self.top(y),
                    escaped(&line.name),
                    self.y.unit.text(y),
                    self.x.unit.text(x),
                ),
            );
        }
    }

    fn draw_bars(&self, svg: &mut String) {
        let bottom = HEIGHT - BOTTOM;
        for &(from, to, height) in &self.bars {
            let (x, y) = (self.left(from), self.top(height));
            let width = (self.left(to) - x - 1.0).max(0.5);
            put(
                svg,
                format_args!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"1\" \
                     fill=\"var(--a)\"><title>{} to {}: {}</title></rect>",
                    bottom - y,
                    self.x.unit.text(from),
                    self.x.unit.text(to),
                    self.y.unit.text(height),
                ),
            );
        }
    }

    fn draw_ideal(&self, svg: &mut String) {
        let (Scale::Linear { high: x_high, .. }, Scale::Linear { high: y_high, .. }) =
            (self.x.scale, self.y.scale)
        else {
            return;
        };
        let end = x_high.min(y_high);
        let (x0, y0, x, y) = (self.left(0.0), self.top(0.0), self.left(end), self.top(end));
        put(svg, format_args!("<path class=\"ideal\" d=\"M{x0:.1} {y0:.1}L{x:.1} {y:.1}\"/>"));
    }

    fn draw_mark(&self, svg: &mut String, at: f64, text: &str) {
        let (x, bottom) = (self.left(at), HEIGHT - BOTTOM);
        put(svg, format_args!("<path class=\"knee\" d=\"M{x:.1} {TOP}V{bottom}\"/>"));
        // Where there is room for it.
        let (x, anchor) = if x > WIDTH / 2.0 { (x - 6.0, "end") } else { (x + 6.0, "start") };
        let (y, text) = (bottom - 8.0, escaped(text));
        put(
            svg,
            format_args!(
                "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
            ),
        );
    }
}

/// A ratio on a line of its own: its interval as a bar, the estimate as a dot, 1 as a dashed line.
pub(super) fn interval_svg(scale: Scale, ratio: crate::Ratio, differs_colour: &str) -> String {
    let place = |value: f64| 6.0 + scale.place(value) * (INTERVAL_WIDTH - 12.0);
    let [low, middle, high, one] = [ratio.low, ratio.ratio, ratio.high, 1.0].map(place);
    format!(
        "<svg viewBox=\"0 0 {INTERVAL_WIDTH} 20\" style=\"width:{INTERVAL_WIDTH}px\" role=\"img\" \
         aria-label=\"{:.3} to {:.3}\"><path class=\"knee\" d=\"M{one:.1} 0V20\"/><path class=\"line\" \
         stroke=\"var(--{differs_colour})\" d=\"M{low:.1} 10H{high:.1}\"/><circle cx=\"{middle:.1}\" \
         cy=\"10\" r=\"4\" fill=\"var(--{differs_colour})\"/></svg>",
        ratio.low, ratio.high
    )
}

/// `text` with everything that means something in HTML made harmless.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Adds to a string, which cannot fail.
pub fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
/// What a chart with its title and legend takes in a larger drawing.
pub(super) const CELL: (f64, f64) = (WIDTH, HEIGHT + 46.0);
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 42.0;
const INTERVAL_WIDTH: f64 = 260.0;
const POINTS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let axis = |label| Axis {
            label,
            scale: Scale::Linear { low: 0.0, high: 10.0 },
            unit: Unit::Seconds,
        };
        Chart::new(axis("across"), axis("up"))
    }

    #[test]
    fn a_line_goes_through_its_points_inside_the_frame() {
        let mut chart = chart();
        let points = vec![(0.0, 0.0), (5.0, 10.0), (99.0, -99.0)];
        chart.lines.push(Line { name: "it".to_owned(), colour: "a", points, dots: true });
        let svg = chart.html("a chart");
        let (right, bottom, middle) =
            (WIDTH - RIGHT, HEIGHT - BOTTOM, LEFT + (WIDTH - LEFT - RIGHT) / 2.0);
        let path =
            format!("d=\"M{LEFT:.1} {bottom:.1}L{middle:.1} {TOP:.1}L{right:.1} {bottom:.1}\"");
        assert!(svg.contains(&path), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(!svg.contains("legend"), "one line needs no legend");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let mut chart = chart();
        for colour in ["a", "b"] {
            let name = "<script>\"&'".to_owned();
            chart.lines.push(Line { name, colour, points: vec![(1.0, 1.0)], dots: true });
        }
        chart.mark = Some((5.0, "</svg>".to_owned()));
        let html = chart.html("\"><script>");
        assert!(!html.contains("<script") && !html.contains("</svg></text>"), "{html}");
        assert!(html.contains("&lt;script&gt;&quot;&amp;&#39;"));
    }

    #[test]
    fn long_lines_have_a_bounded_number_of_elements() {
        let mut chart = chart();
        let points = (0..100_000).map(|n| (f64::from(n) / 1e4, 1.0)).collect();
        chart.lines.push(Line { name: "it".to_owned(), colour: "a", points, dots: false });
        assert!(chart.html("it").matches("<circle").count() <= POINTS_MAX);
    }
}
