//! Figures of named things below one another, each with the span in which it lay, as inline SVG.
//!
//! Must never: draw a bar that does not begin at zero, or refer to anything outside the page.

use timeball_load::page::{Scale, Unit, escaped, put};

/// One thing.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    /// A colour of the page's style.
    pub(super) colour: &'static str,
    pub(super) figure: f64,
    /// Where it lay, from and to.
    pub(super) span: (f64, f64),
    /// What is written at its end.
    pub(super) text: String,
}

/// How figures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As bars from zero, with the span on top.
    FromZero,
    /// As dots upon their span: for what may be above and below zero.
    Dot,
}

/// The drawing, with an axis below.
pub(super) fn svg(title: &str, shape: Shape, scale: Scale, unit: Unit, bars: &[Bar]) -> String {
    let height = TOP + bars.len() as f64 * STEP + BOTTOM;
    let across = |value: f64| LEFT + scale.place(value) * (WIDTH - LEFT - RIGHT);
    let mut svg = String::new();
    put(
        &mut svg,
        format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
            escaped(title)
        ),
    );
    let bottom = height - BOTTOM;
    for tick in scale.ticks() {
        let (x, y, text) = (across(tick), bottom + 16.0, unit.text(tick));
        put(
            &mut svg,
            format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>"
            ),
        );
    }
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + (number as f64 + 0.5) * STEP;
        draw(&mut svg, shape, bar, y, [0.0, bar.figure, bar.span.0, bar.span.1].map(across));
    }
    svg.push_str("</svg>");
    svg
}

/// One of them at the height `y`; zero, the figure and its span have their places.
fn draw(svg: &mut String, shape: Shape, bar: &Bar, y: f64, [zero, x, low, high]: [f64; 4]) {
    let (name, text, colour) = (escaped(&bar.name), escaped(&bar.text), bar.colour);
    let (name_x, text_x, base) = (LEFT - 8.0, WIDTH, y + 4.0);
    put(
        svg,
        format_args!(
            "<g><title>{name}: {text}</title>\
             <text class=\"label\" x=\"{name_x}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <text x=\"{text_x}\" y=\"{base}\" text-anchor=\"end\">{text}</text>"
        ),
    );
    match shape {
        Shape::FromZero => {
            let (top, thick, width) = (y - THICK / 2.0, THICK, (x - zero).max(0.5));
            put(
                svg,
                format_args!(
                    "<rect x=\"{zero:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{thick}\" rx=\"2\" \
                     fill=\"var(--{colour})\"/>\
                     <path class=\"axis\" d=\"M{low:.1} {y}H{high:.1}M{low:.1} {}V{}M{high:.1} {}V{}\"/>",
                    y - 3.0,
                    y + 3.0,
                    y - 3.0,
                    y + 3.0
                ),
            );
        }
        Shape::Dot => put(
            svg,
            format_args!(
                "<path class=\"line\" stroke=\"var(--{colour})\" d=\"M{low:.1} {y}H{high:.1}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"var(--{colour})\"/>"
            ),
        ),
    }
    svg.push_str("</g>");
}

const WIDTH: f64 = 560.0;
const LEFT: f64 = 140.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 24.0;
const STEP: f64 = 26.0;
const THICK: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_figure_and_its_name_cannot_break_out() {
        let bar = |name: &str, figure| Bar {
            name: name.to_owned(),
            colour: "a",
            figure,
            span: (figure / 2.0, figure),
            text: "so much".to_owned(),
        };
        let scale = Scale::Linear { low: 0.0, high: 100.0 };
        let bars = [bar("whole", 100.0), bar("<half>", 50.0)];
        let drawn = svg("it", Shape::FromZero, scale, Unit::PerSecond, &bars);
        let whole = WIDTH - LEFT - RIGHT;
        assert!(drawn.contains(&format!("width=\"{whole:.1}\"")), "{drawn}");
        assert!(drawn.contains(&format!("width=\"{:.1}\"", whole / 2.0)), "{drawn}");
        assert!(drawn.contains("&lt;half&gt;") && !drawn.contains("<half>"));
        let dots = svg("it", Shape::Dot, scale, Unit::PerSecond, &bars);
        assert!(dots.matches("<circle").count() == 2 && !dots.contains("<rect"), "{dots}");
    }
}
