//! Colours. The hues are those of Okabe and Ito, which people with any kind of colour vision tell apart. On
//! white they are darkened until they can be read there. Series differ in dashes and markers too.

/// Red, green and blue, 0 to 255 each.
pub type Rgb = [u8; 3];

/// The number of series colours.
pub const SERIES: usize = 8;

/// The colours of one scheme.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    pub ground: Rgb,
    /// Behind plots and figures.
    pub card: Rgb,
    pub text: Rgb,
    /// Of axes and explanations.
    pub quiet: Rgb,
    /// Thin lines that structure; nothing is read from them.
    pub rule: Rgb,
    pub link: Rgb,
    pub warning: Rgb,
    pub series: [Rgb; SERIES],
}

pub const LIGHT: Scheme = Scheme {
    ground: [0xff, 0xff, 0xff],
    card: [0xf6, 0xf7, 0xf9],
    text: [0x17, 0x1b, 0x22],
    quiet: [0x50, 0x5a, 0x68],
    rule: [0xd5, 0xda, 0xe1],
    link: [0x00, 0x5a, 0x9c],
    warning: [0xa0, 0x3c, 0x00],
    series: [
        [0x00, 0x67, 0xa8], // blue
        [0xb5, 0x4a, 0x00], // vermillion
        [0x00, 0x74, 0x55], // bluish green
        [0x9c, 0x45, 0x72], // reddish purple
        [0x22, 0x26, 0x2c], // black
        [0x85, 0x5c, 0x00], // orange
        [0x1f, 0x75, 0x91], // sky blue
        [0x67, 0x66, 0x2a], // yellow
    ],
};

pub const DARK: Scheme = Scheme {
    ground: [0x12, 0x15, 0x1a],
    card: [0x1b, 0x1f, 0x26],
    text: [0xec, 0xef, 0xf3],
    quiet: [0xac, 0xb5, 0xc2],
    rule: [0x38, 0x3f, 0x4a],
    link: [0x7c, 0xc4, 0xf5],
    warning: [0xff, 0xa8, 0x5c],
    series: [
        [0x56, 0xb4, 0xe9], // sky blue
        [0xf0, 0x7b, 0x2c], // vermillion
        [0x1f, 0xc0, 0x94], // bluish green
        [0xdd, 0x93, 0xbb], // reddish purple
        [0xee, 0xee, 0xee], // white
        [0xe6, 0x9f, 0x00], // orange
        [0x7f, 0x9f, 0xf5], // blue
        [0xf0, 0xe4, 0x42], // yellow
    ],
};

impl Scheme {
    /// The colours as declarations of variables.
    pub fn declarations(&self) -> String {
        let named = [
            ("ground", self.ground),
            ("card", self.card),
            ("text", self.text),
            ("quiet", self.quiet),
            ("rule", self.rule),
            ("link", self.link),
            ("warning", self.warning),
        ];
        let mut text = String::new();
        let mut declare = |name: &str, [r, g, b]: Rgb| {
            text.push_str(&format!("--{name}:#{r:02x}{g:02x}{b:02x};"));
        };
        named.into_iter().for_each(|(name, colour)| declare(name, colour));
        for (place, colour) in self.series.into_iter().enumerate() {
            declare(&format!("s{place}"), colour);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours by WCAG 2.
    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let light = |rgb: Rgb| {
            let [r, g, b] = rgb.map(|part| {
                let part = f64::from(part) / 255.0;
                if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (light(one), light(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn everything_that_is_read_stands_out_from_what_is_behind_it() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9, "black on white is 21");
        for scheme in [LIGHT, DARK] {
            let read = [scheme.text, scheme.quiet, scheme.link, scheme.warning];
            for colour in read.into_iter().chain(scheme.series) {
                for behind in [scheme.ground, scheme.card] {
                    let reached = contrast(colour, behind);
                    assert!(reached >= 4.5, "{colour:x?} on {behind:x?}: {reached:.2}");
                }
            }
        }
    }

    #[test]
    fn no_two_series_have_one_colour() {
        for Scheme { series, .. } in [LIGHT, DARK] {
            for (i, one) in series.iter().enumerate() {
                for other in &series[..i] {
                    let apart = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(apart >= Some(30), "{one:x?} and {other:x?}");
                }
            }
        }
    }
}
