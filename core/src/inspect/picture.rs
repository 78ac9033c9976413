//! Pictures: boxes with text, other pictures in them, and edges, as SVG that needs no other program.

use std::fmt::Write;

use super::layout::{Input, layout};

/// A picture to be.
#[derive(Default)]
pub(super) struct Picture {
    pub boxes: Vec<Shape>,
    pub edges: Vec<Edge>,
}

/// A box.
pub(super) struct Shape {
    pub title: String,
    /// Further lines, smaller.
    pub lines: Vec<String>,
    pub family: Family,
    /// The colour of its frame: that of its device.
    pub frame: &'static str,
    /// A mark in its corner, such as the number of its kernel.
    pub mark: Option<String>,
    /// What appears when somebody points at it.
    pub hint: String,
    /// Pictures in it, with their titles.
    pub inside: Vec<(String, Picture)>,
}

/// An edge from one box to another.
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    /// Which of the operands of `to` it is, of how many.
    pub operand: (usize, usize),
    /// Whether the result is written over what flows here.
    pub in_place: bool,
    pub hint: String,
}

/// What kind of thing a box is, which gives its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Input,
    State,
    Constant,
    Elementwise,
    Product,
    Reduction,
    Moves,
    Random,
    Control,
    Result,
}

impl Family {
    pub const ALL: [Family; 10] = {
        use Family::*;
        [Input, State, Constant, Elementwise, Product, Reduction, Moves, Random, Control, Result]
    };

    pub fn colour(self) -> &'static str {
        ["#d8efd3", "#fff1c2", "#ececec", "#d6e6f8", "#e5d9f2", "#fbdcc4", "#d5eeee", "#f9d9e6", "#fafafa", "#f8d3d0"][self as usize]
    }

    pub fn name(self) -> &'static str {
        [
            "input", "state", "constant", "elementwise", "product, linear algebra", "reduction, sorting", "shapes, indexing", "random",
            "loop or branch", "result",
        ][self as usize]
    }
}

const TITLE: f64 = 13.0;
const SMALL: f64 = 10.5;
const PAD: f64 = 10.0;
const MARGIN: f64 = 16.0;
pub(super) const FRAMES: [&str; 5] = ["#5b6b7b", "#c0392b", "#1e8449", "#7d3c98", "#b9770e"];

/// About how wide a text is.
fn width(text: &str, size: f64, bold: bool) -> f64 {
    let each = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | '|' | '\'' | ' ' | '(' | ')' | '[' | ']' | 'f' | 't' | 'r' => 0.38,
        'm' | 'w' | 'M' | 'W' | '@' | '=' | '+' | '<' | '>' => 0.85,
        c if c.is_ascii_uppercase() => 0.7,
        _ => 0.6,
    };
    text.chars().map(each).sum::<f64>() * size * if bold { 1.1 } else { 1.04 }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What a box is when its insides are laid out.
struct Made {
    size: (f64, f64),
    /// The text of what is inside, and its offset.
    inside: Vec<(f64, f64, String)>,
}

impl Shape {
    fn head(&self) -> (f64, f64) {
        let mark = self.mark.as_ref().map_or(0.0, |mark| width(mark, SMALL, false) + 14.0);
        let widest = self.lines.iter().map(|line| width(line, SMALL, false)).fold(width(&self.title, TITLE, true) + mark, f64::max);
        (widest + 2.0 * PAD, TITLE + 12.0 + self.lines.len() as f64 * (SMALL + 3.5))
    }

    fn make(&self) -> Made {
        let (mut wide, mut high) = self.head();
        let mut inside = Vec::new();
        let mut left = PAD;
        let mut lowest = high;
        for (title, picture) in &self.inside {
            let (text, size) = picture.draw();
            let own = size.0.max(width(title, SMALL, true)) + 2.0 * PAD;
            let y = high + 4.0;
            let mut framed = format!(
                "<rect x=\"0\" y=\"0\" width=\"{own:.1}\" height=\"{:.1}\" rx=\"6\" fill=\"#fff\" stroke=\"#aab4be\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{PAD}\" y=\"{:.1}\" font-size=\"{SMALL}\" font-weight=\"bold\" fill=\"#66727e\">{}</text>\n",
                size.1 + 2.0 * PAD + 18.0, SMALL + 7.0, escape(title)
            );
            let _ = write!(framed, "<g transform=\"translate({:.1} {:.1})\">\n{text}</g>\n", (own - size.0) / 2.0, PAD + 18.0);
            inside.push((left, y, framed));
            left += own + PAD;
            lowest = lowest.max(y + size.1 + 2.0 * PAD + 18.0);
        }
        if !self.inside.is_empty() {
            (wide, high) = (wide.max(left), lowest + PAD);
        }
        Made { size: (wide, high), inside }
    }
}

impl Picture {
    /// Everything as SVG elements, and how large that is.
    fn draw(&self) -> (String, (f64, f64)) {
        let made: Vec<Made> = self.boxes.iter().map(Shape::make).collect();
        let sizes: Vec<(f64, f64)> = made.iter().map(|made| made.size).collect();
        let port = |edge: &Edge| (edge.operand.0 as f64 + 1.0) / (edge.operand.1 as f64 + 1.0);
        let edges: Vec<(usize, usize, f64)> = self.edges.iter().map(|edge| (edge.from, edge.to, port(edge))).collect();
        let placed = layout(&Input { sizes: &sizes, edges: &edges });
        let mut text = String::new();
        for (edge, route) in self.edges.iter().zip(&placed.routes) {
            let (colour, wide, head) = if edge.in_place { ("#c0392b", 2.2, "inplace") } else { ("#8795a1", 1.2, "arrow") };
            let _ = writeln!(
                text,
                "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{wide}\" marker-end=\"url(#{head})\"><title>{}</title></path>",
                path(route), escape(&edge.hint)
            );
        }
        for ((shape, made), &(x, y)) in self.boxes.iter().zip(&made).zip(&placed.boxes) {
            shape.draw(made, x, y, &mut text);
        }
        (text, placed.size)
    }

    /// A file. `legend` explains frames: colour and meaning.
    pub fn to_svg(&self, title: &str, frames: &[(&'static str, String)], notes: &[String]) -> String {
        let (body, (wide, high)) = self.draw();
        let mut families: Vec<Family> = Vec::new();
        self.families(&mut families);
        let mut legend = String::new();
        let (mut x, mut y) = (0.0, 0.0);
        let room = wide.max(560.0);
        let mut entry = |mark: &str, what: &str| {
            let own = 22.0 + width(what, SMALL, false) + 18.0;
            if x + own > room && x > 0.0 {
                (x, y) = (0.0, y + 20.0);
            }
            let _ = writeln!(
                legend,
                "<g transform=\"translate({x:.1} {y:.1})\">{mark}<text x=\"22\" y=\"11\" font-size=\"{SMALL}\" fill=\"#44505c\">{}</text></g>",
                escape(what)
            );
            x += own;
        };
        for family in Family::ALL.into_iter().filter(|family| families.contains(family)) {
            entry(&format!("<rect width=\"16\" height=\"13\" rx=\"3\" fill=\"{}\" stroke=\"#8795a1\"/>", family.colour()), family.name());
        }
        for (colour, what) in frames {
            entry(&format!("<rect width=\"16\" height=\"13\" rx=\"3\" fill=\"#fff\" stroke=\"{colour}\" stroke-width=\"2\"/>"), what);
        }
        if self.overwrites() {
            entry("<path d=\"M0 7H15\" stroke=\"#c0392b\" stroke-width=\"2.2\" marker-end=\"url(#inplace)\"/>", "written over: the result takes this operand's memory");
        }
        for note in notes {
            entry("<circle cx=\"8\" cy=\"7\" r=\"4\" fill=\"#44505c\"/>", note);
        }
        let top = MARGIN + TITLE + 12.0;
        let (full, below) = (room + 2.0 * MARGIN, top + y + 20.0 + 14.0);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{full:.0}\" height=\"{:.0}\" viewBox=\"0 0 {full:.0} {:.0}\" \
             font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\">\n<defs>",
            below + high + MARGIN, below + high + MARGIN
        );
        for (name, colour) in [("arrow", "#8795a1"), ("inplace", "#c0392b")] {
            let _ = write!(
                text,
                "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" markerUnits=\"userSpaceOnUse\" \
                 orient=\"auto\"><path d=\"M0 0.5L8 4L0 7.5z\" fill=\"{colour}\"/></marker>"
            );
        }
        let _ = writeln!(text, "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
        let _ = writeln!(
            text, "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"15\" font-weight=\"bold\" fill=\"#22303c\">{}</text>", MARGIN + TITLE, escape(title)
        );
        let _ = writeln!(text, "<g transform=\"translate({MARGIN} {top:.1})\">\n{legend}</g>");
        let _ = writeln!(text, "<g transform=\"translate({:.1} {below:.1})\">\n{body}</g>\n</svg>", MARGIN + (room - wide) / 2.0);
        text
    }

    fn families(&self, found: &mut Vec<Family>) {
        for shape in &self.boxes {
            found.push(shape.family);
            shape.inside.iter().for_each(|(_, picture)| picture.families(found));
        }
    }

    fn overwrites(&self) -> bool {
        self.edges.iter().any(|edge| edge.in_place) || self.boxes.iter().any(|shape| shape.inside.iter().any(|(_, inner)| inner.overwrites()))
    }
}

impl Shape {
    fn draw(&self, made: &Made, x: f64, y: f64, text: &mut String) {
        let (wide, high) = made.size;
        let round = if matches!(self.family, Family::Input | Family::State | Family::Result) { 12.0 } else { 5.0 };
        let _ = writeln!(
            text,
            "<g transform=\"translate({x:.1} {y:.1})\"><title>{}</title>\
             <rect width=\"{wide:.1}\" height=\"{high:.1}\" rx=\"{round}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.3\"/>",
            escape(&self.hint), self.family.colour(), self.frame
        );
        let plain = self.inside.is_empty() && self.mark.is_none();
        let (at, anchor) = if plain { (wide / 2.0, "middle") } else { (PAD, "start") };
        let mut line = TITLE + 4.5;
        let _ = writeln!(
            text, "<text x=\"{at:.1}\" y=\"{line:.1}\" font-size=\"{TITLE}\" font-weight=\"bold\" text-anchor=\"{anchor}\" fill=\"#1d2a35\">{}</text>",
            escape(&self.title)
        );
        for small in &self.lines {
            line += SMALL + 3.5;
            let _ = writeln!(
                text, "<text x=\"{at:.1}\" y=\"{line:.1}\" font-size=\"{SMALL}\" text-anchor=\"{anchor}\" fill=\"#52606d\">{}</text>", escape(small)
            );
        }
        if let Some(mark) = &self.mark {
            let own = width(mark, SMALL, false) + 8.0;
            let _ = writeln!(
                text,
                "<rect x=\"{:.1}\" y=\"4\" width=\"{own:.1}\" height=\"15\" rx=\"7\" fill=\"#34495e\"/>\
                 <text x=\"{:.1}\" y=\"15\" font-size=\"{SMALL}\" text-anchor=\"middle\" fill=\"#fff\">{}</text>",
                wide - own - 5.0, wide - own / 2.0 - 5.0, escape(mark)
            );
        }
        for (dx, dy, inner) in &made.inside {
            let _ = writeln!(text, "<g transform=\"translate({dx:.1} {dy:.1})\">\n{inner}</g>");
        }
        text.push_str("</g>\n");
    }
}

/// A smooth line through points, vertical where it leaves, arrives, and passes a row.
fn path(route: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (number, &(x, y)) in route.iter().enumerate() {
        let Some(&(x0, y0)) = number.checked_sub(1).and_then(|before| route.get(before)) else {
            let _ = write!(text, "M{x:.1} {y:.1}");
            continue;
        };
        if (x - x0).abs() < 0.5 {
            let _ = write!(text, "L{x:.1} {y:.1}");
        } else {
            let bend = (y - y0) / 2.0;
            let _ = write!(text, "C{x0:.1} {:.1} {x:.1} {:.1} {x:.1} {y:.1}", y0 + bend, y - bend);
        }
    }
    text
}
