//! Tokens as QR codes: on a terminal and as SVG, and labels to cut out.

use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};

use super::failure::Failure;
use super::tokens::whom;
use crate::admin::NewToken;

/// A label: the code, the text, whom it is for, until when.
pub(super) fn label(new: &NewToken) -> Result<String, Failure> {
    // Dark modules are drawn with the terminal's light colour, as most terminals are dark.
    let image = code(&new.text)?
        .render::<unicode::Dense1x2>()
        .dark_color(unicode::Dense1x2::Light)
        .light_color(unicode::Dense1x2::Dark)
        .build();
    Ok(format!(
        "{image}\n  {}\n  Token {} for {}, until {}",
        new.text.as_str(),
        new.token.id,
        whom(&new.token),
        new.token.expires
    ))
}

/// The code as an SVG image.
pub(super) fn svg(text: &str) -> Result<String, Failure> {
    Ok(code(text)?.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

fn code(text: &str) -> Result<QrCode, Failure> {
    // Labels get dirty: a quarter of the code may be lost.
    QrCode::with_error_correction_level(text, EcLevel::Q).map_err(Failure::Qr)
}

#[cfg(test)]
mod tests {
    use super::{code, svg};

    #[test]
    fn a_token_fits_a_small_code() {
        // Version 3 of ISO/IEC 18004 has 29 modules a side.
        assert_eq!(code("7K2M-9QXR-0123-4567").unwrap().width(), 25);
        assert_eq!(code(&"0123456789abcdef".repeat(2)).unwrap().width(), 29);
        let image = svg("7K2M-9QXR-0123-4567").unwrap();
        assert!(image.contains("<svg") && image.ends_with("</svg>"), "{image}");
        assert!(!image.contains("7K2M"), "the text stands in the code alone");
    }
}
