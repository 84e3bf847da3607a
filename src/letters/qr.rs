//! The QR picture of an invoice, as a PNG that any mail client shows.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side; ISO/IEC 18004 asks for four.
const QUIET_MODULES: usize = 4;
/// Pixels of a module: about 450 for an invoice, sharp on a phone when shown at half size.
const MODULE_PIXELS: usize = 6;

/// One bit a pixel, black on white: about 3 KiB. Upper case, because a QR code packs that tighter (bech32 is
/// either, BIP 173). `None` when the invoice does not fit a QR code (4296 characters).
pub(super) fn png(invoice: &str) -> Option<Vec<u8>> {
    let code = QrCode::with_error_correction_level(invoice.to_ascii_uppercase(), EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let side = (width + 2 * QUIET_MODULES) * MODULE_PIXELS;
    let row_bytes = side.div_ceil(8);
    let mut pixels = vec![0xff_u8; row_bytes * side];
    for y in 0..side {
        for x in 0..side {
            let (column, row) = (x / MODULE_PIXELS, y / MODULE_PIXELS);
            let inside = |at: usize| (QUIET_MODULES..QUIET_MODULES + width).contains(&at);
            if inside(column)
                && inside(row)
                && colors[(row - QUIET_MODULES) * width + column - QUIET_MODULES] == Color::Dark
            {
                pixels[y * row_bytes + x / 8] &= !(0x80 >> (x % 8));
            }
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, u32::try_from(side).ok()?, u32::try_from(side).ok()?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(out)
}

/// Reads a picture of [`png`] back into modules, dark being true: what a reader's camera sees.
#[cfg(test)]
pub(super) fn modules(picture: &[u8]) -> Vec<bool> {
    let mut reader = png::Decoder::new(picture).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
    let dark = |x: usize, y: usize| pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
    let side = info.width as usize / MODULE_PIXELS;
    let middle = |at: usize| at * MODULE_PIXELS + MODULE_PIXELS / 2;
    let mut out = Vec::new();
    for row in 0..side {
        for column in 0..side {
            let quiet = [row, column].iter().any(|at| *at < QUIET_MODULES || *at >= side - QUIET_MODULES);
            let is_dark = dark(middle(column), middle(row));
            assert!(!(quiet && is_dark), "the quiet zone is white");
            if !quiet {
                out.push(is_dark);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_code_of_the_invoice_in_upper_case() {
        let invoice = format!("lnbcrt1u1p{}", "qpzry9x8gf2tvdw0".repeat(20));
        let code = QrCode::with_error_correction_level(invoice.to_uppercase(), EcLevel::L).unwrap();
        let expected: Vec<bool> = code.to_colors().iter().map(|color| *color == Color::Dark).collect();
        assert_eq!(modules(&png(&invoice).unwrap()), expected);
    }

    #[test]
    fn what_does_not_fit_has_no_picture() {
        assert!(png(&"X".repeat(5000)).is_none());
    }
}
