//! The few shapes a drawing is made of, as self-contained SVG.
//!
//! Must never: name a font, an image or a style sheet that is not in the file.

use std::fmt::Write;

/// A rectangle on the page, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) const fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(crate) const fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// A drawing under way.
#[derive(Debug)]
pub(crate) struct Svg {
    text: String,
    clips: usize,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"Helvetica, Arial, sans-serif\" \
             font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        Self { text, clips: 0 }
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// What `draw` draws shows within `area` only.
    pub(crate) fn clipped(&mut self, area: &Area, draw: impl FnOnce(&mut Self)) {
        self.clips += 1;
        let (clip, Area { x, y, width, height }) = (self.clips, *area);
        self.push(format_args!(
            "<clipPath id=\"c{clip}\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" \
             height=\"{height}\"/></clipPath>\n<g clip-path=\"url(#c{clip})\">\n"
        ));
        draw(self);
        self.text.push_str("</g>\n");
    }

    pub(crate) fn rect(&mut self, area: &Area, fill: &str) {
        let Area { x, y, width, height } = *area;
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{fill}\"/>\n"
        ));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{stroke}\" stroke-width=\"{width}\"/>\n"
        ));
    }

    pub(crate) fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        let data = path_data(points);
        self.push(format_args!(
            "<path d=\"{data}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>\n"
        ));
    }

    pub(crate) fn polygon(&mut self, points: &[(f64, f64)], fill: &str) {
        let data = path_data(points);
        self.push(format_args!("<path d=\"{data}Z\" fill=\"{fill}\"/>\n"));
    }

    pub(crate) fn dot(&mut self, at: (f64, f64), radius: f64, fill: &str) {
        let (x, y) = at;
        self.push(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"/>\n"
        ));
    }

    /// `anchor`: start, middle or end.
    pub(crate) fn label(&mut self, at: (f64, f64), anchor: &str, style: &str, text: &str) {
        let (x, y) = at;
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>\n"
        ));
    }

    fn push(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(what);
    }
}

fn path_data(points: &[(f64, f64)]) -> String {
    let mut data = String::with_capacity(points.len() * 14);
    for (index, (x, y)) in points.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(data, "{verb}{x:.1} {y:.1}");
    }
    data
}
