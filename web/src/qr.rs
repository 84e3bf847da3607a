//! QR pictures of invoices, as SVG that needs no style and no script.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side; ISO/IEC 18004 asks for four.
const QUIET_MODULES: usize = 4;

/// The picture of a BOLT 11 invoice. Upper case (BOLT 11: bech32 is either), because a QR code packs upper
/// case in 5.5 bits a character instead of 8. Always dark on white: readers need it, whatever the theme.
/// `None` when the text does not fit a QR code (4296 characters).
pub(crate) fn svg(invoice: &str, label: &str) -> Option<String> {
    svg_exact(&invoice.to_ascii_uppercase(), label)
}

/// The picture of a text whose case matters.
pub(crate) fn svg_exact(text: &str, label: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let side = width + 2 * QUIET_MODULES;
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET_MODULES, y + QUIET_MODULES);
            }
            x += run.max(1);
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>",
        crate::html::Text(label)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_draws_exactly_the_dark_modules() {
        let invoice = "lnbcrt1u1p".repeat(30);
        let picture = svg(&invoice, "QR \"code\"").unwrap();
        let code = QrCode::with_error_correction_level(invoice.to_ascii_uppercase(), EcLevel::L).unwrap();
        let dark = code.to_colors().iter().filter(|color| **color == Color::Dark).count();
        let path = picture.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        let drawn: usize =
            path.split('h').skip(1).filter_map(|run| run.split('v').next().and_then(|n| n.parse::<usize>().ok())).sum();
        assert_eq!(drawn, dark);
        assert!(picture.contains("aria-label=\"QR &quot;code&quot;\""));
    }

    #[test]
    fn what_does_not_fit_has_no_picture() {
        assert!(svg(&"X".repeat(5000), "QR").is_none());
    }
}
