// SPDX-License-Identifier: GPL-2.0

//! A picture of a terminal, as SVG.

use std::fmt::Write;
use vt100::{Cell, Color, Screen};

/// Size of a character, in units of the picture.
const WIDTH: u16 = 8;
const HEIGHT: u16 = 17;

/// The first 16 colors, as terminals show them on a dark background.
const COLORS: [&str; 16] = [
    "#1c1f24", "#e0565b", "#4caf6a", "#d6a03c", "#4f8fe0", "#b07ce0", "#3fb3c4", "#c8ccd2",
    "#6b727c", "#ff7b80", "#6fd08c", "#f0bf5f", "#7fb2f5", "#cfa3f7", "#67d3e3", "#f4f6f8",
];

/// Returns the picture of what the terminal shows.
pub fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (columns * WIDTH, rows * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{}\"/>\n",
        COLORS[0]
    );
    for row in 0..rows {
        let mut column = 0;
        while let Some(cell) = screen.cell(row, column) {
            // A run of cells that look the same.
            let from = column;
            let mut text = String::new();
            while let Some(next) = screen.cell(row, column).filter(|next| look(next) == look(cell))
            {
                match next.has_contents() {
                    true => text += &next.contents(),
                    false => text.push(' '),
                }
                column += 1;
            }
            run(&mut svg, row, from..column, &text, cell);
        }
    }
    svg + "</svg>\n"
}

/// The look that all cells of a run have.
fn look(cell: &Cell) -> (Color, Color, bool, bool) {
    (cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.inverse())
}

fn run(svg: &mut String, row: u16, columns: std::ops::Range<u16>, text: &str, cell: &Cell) {
    let (x, y) = (columns.start * WIDTH, row * HEIGHT);
    let width = columns.len() as u16 * WIDTH;
    let (mut front, mut back) = (color(cell.fgcolor(), 7), color(cell.bgcolor(), 0));
    if cell.inverse() {
        std::mem::swap(&mut front, &mut back);
    }
    // Writing to a string does not fail.
    if back != COLORS[0] {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{back}\"/>"
        );
    }
    if !text.trim().is_empty() {
        let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\" fill=\"{front}\"{weight}>{text}</text>",
            y + 13
        );
    }
}

/// Returns a color as SVG names it; `default` is that of the terminal.
fn color(color: Color, default: usize) -> String {
    match color {
        Color::Default => COLORS[default].into(),
        Color::Idx(index @ 0..16) => COLORS[usize::from(index)].into(),
        // A cube of 6 steps for each of red, green and blue.
        Color::Idx(index @ 16..232) => {
            let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = index - 16;
            format!("#{:02x}{:02x}{:02x}", step(n / 36), step(n / 6 % 6), step(n % 6))
        }
        Color::Idx(index) => format!("#{0:02x}{0:02x}{0:02x}", 8 + 10 * (index - 232)),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}
