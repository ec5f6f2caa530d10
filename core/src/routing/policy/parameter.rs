//! The parameters of a rule. The rule's file declares them once with [`parameters!`]. The macro
//! makes the struct, its defaults, the check of given values, and the help.

use core::ops::RangeInclusive;

/// One parameter of the rule `R`.
#[derive(Debug)]
pub struct Parameter<R> {
    /// As a person writes it.
    pub name: &'static str,
    /// Of its value; empty for a plain number.
    pub unit: &'static str,
    /// What it does.
    pub what: &'static str,
    /// What a value may be, in words.
    pub expected: fn() -> String,
    /// The rule's value, as a person writes it.
    pub get: fn(&R) -> String,
    /// Takes a value from text. False: the text is not such a value, and the rule is unchanged.
    pub set: fn(&mut R, &str) -> bool,
    /// The rule with other values of the parameter, for a search ([`Value::near`]).
    pub near: fn(&R, u32) -> Vec<R>,
}

/// A rule's parameters. [`parameters!`] implements it.
pub trait Parameters: Copy + Default + 'static {
    /// In the order of their declaration.
    const LIST: &'static [Parameter<Self>];
}

/// A type that a parameter may have. A small enum implements it in its rule's file.
pub trait Value: Copy + PartialEq {
    /// Which values are allowed.
    type Allowed;

    /// None: the text is not a value, or not an allowed one.
    fn read(text: &str, allowed: &Self::Allowed) -> Option<Self>;

    /// As a person writes it; [`Value::read`] gives the same value back.
    fn write(self) -> String;

    /// What is allowed, in words.
    fn expected(allowed: &Self::Allowed) -> String;

    /// Other allowed values, for a search that takes smaller steps in each round, from 0 on. A number is multiplied
    /// and divided by 16, then by 4, 2 and the roots of 2.
    fn near(self, allowed: &Self::Allowed, round: u32) -> Vec<Self>;
}

/// Numbers near this one, by the factor of a round. Three digits: more would say nothing.
fn near(value: f64, round: u32) -> Vec<f64> {
    let factor = libm::pow(16.0, 1.0 / f64::from(1_u32 << round.min(5)));
    let digits = |value: f64| {
        let scale = libm::pow(10.0, 2.0 - libm::floor(libm::log10(value.abs())));
        libm::round(value * scale) / scale
    };
    match value == 0.0 {
        // Nothing is near to nothing, so the scale is 1.
        true => vec![digits(1.0 / factor), 1.0, factor],
        false if round == 0 => vec![0.0, digits(value / factor), digits(value * factor)],
        false => vec![digits(value / factor), digits(value * factor)],
    }
}

impl Value for u32 {
    type Allowed = RangeInclusive<Self>;

    fn read(text: &str, allowed: &Self::Allowed) -> Option<Self> {
        text.parse().ok().filter(|value| allowed.contains(value))
    }

    fn write(self) -> String {
        self.to_string()
    }

    fn expected(allowed: &Self::Allowed) -> String {
        format!("a whole number from {} to {}", allowed.start(), allowed.end())
    }

    fn near(self, allowed: &Self::Allowed, round: u32) -> Vec<Self> {
        let near = near(f64::from(self), round).into_iter().map(|value| libm::round(value) as Self);
        let mut near: Vec<Self> =
            near.filter(|value| *value != self && allowed.contains(value)).collect();
        near.dedup();
        near
    }
}

impl Value for f64 {
    type Allowed = RangeInclusive<Self>;

    fn read(text: &str, allowed: &Self::Allowed) -> Option<Self> {
        text.parse().ok().filter(|value| allowed.contains(value))
    }

    fn write(self) -> String {
        self.to_string()
    }

    fn expected(allowed: &Self::Allowed) -> String {
        format!("a number from {} to {}", allowed.start(), allowed.end())
    }

    fn near(self, allowed: &Self::Allowed, round: u32) -> Vec<Self> {
        near(self, round)
            .into_iter()
            .filter(|value| *value != self && allowed.contains(value))
            .collect()
    }
}

impl Value for bool {
    type Allowed = ();

    fn read(text: &str, (): &()) -> Option<Self> {
        text.parse().ok()
    }

    fn write(self) -> String {
        self.to_string()
    }

    fn expected((): &()) -> String {
        "true or false".to_owned()
    }

    fn near(self, (): &(), _round: u32) -> Vec<Self> {
        vec![!self]
    }
}

/// Declares a rule's struct. Each field is a parameter: what it does (its documentation), its name,
/// type, default, allowed values and unit.
///
/// ```text
/// parameters! {
///     /// What the rule does.
///     pub struct WaitForRoom {
///         /// Active requests that fill a worker.
///         max_active: u32 = 8, 1..=1_000_000, "requests";
///     }
/// }
/// ```
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+
        pub struct $rule:ident {
            $(
                $(#[doc = $what:literal])+
                $field:ident: $type:ty = $default:expr, $allowed:expr, $unit:literal;
            )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub struct $rule {
            $($(#[doc = $what])+ pub $field: $type,)*
        }

        impl $rule {
            /// Each parameter at its default.
            pub const DEFAULT: Self = Self { $($field: $default,)* };
        }

        impl Default for $rule {
            fn default() -> Self {
                Self::DEFAULT
            }
        }

        impl $crate::routing::policy::parameter::Parameters for $rule {
            const LIST: &'static [$crate::routing::policy::parameter::Parameter<Self>] = &[$(
                $crate::routing::policy::parameter::Parameter {
                    name: stringify!($field),
                    unit: $unit,
                    what: concat!($($what),+),
                    expected: || {
                        <$type as $crate::routing::policy::parameter::Value>::expected(&$allowed)
                    },
                    get: |rule| {
                        $crate::routing::policy::parameter::Value::write(rule.$field)
                    },
                    set: |rule, text| {
                        let read = $crate::routing::policy::parameter::Value::read;
                        read(text, &$allowed).map(|value| rule.$field = value).is_some()
                    },
                    near: |rule, round| {
                        let near = $crate::routing::policy::parameter::Value::near;
                        let values: Vec<$type> = near(rule.$field, &$allowed, round);
                        values
                            .into_iter()
                            .map(|value| {
                                let mut other = *rule;
                                other.$field = value;
                                other
                            })
                            .collect()
                    },
                },
            )*];
        }
    };
}
pub(crate) use parameters;

/// Declares an enum that a parameter can have as its type: each value with its name and what it
/// means.
macro_rules! choices {
    (
        $(#[doc = $about:literal])+
        pub enum $choice:ident {
            $($(#[doc = $what:literal])+ $value:ident = $name:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $choice {
            $($(#[doc = $what])+ $value,)+
        }

        impl $crate::routing::policy::parameter::Value for $choice {
            type Allowed = ();

            fn read(text: &str, (): &()) -> Option<Self> {
                match text {
                    $($name => Some(Self::$value),)+
                    _ => None,
                }
            }

            fn write(self) -> String {
                match self { $(Self::$value => $name,)+ }.to_owned()
            }

            fn expected((): &()) -> String {
                format!("one of: {}", [$($name),+].join(", "))
            }

            fn near(self, (): &(), _round: u32) -> Vec<Self> {
                [$(Self::$value),+].into_iter().filter(|value| *value != self).collect()
            }
        }
    };
}
pub(crate) use choices;

#[cfg(test)]
mod tests {
    use super::*;

    parameters! {
        /// A rule with a parameter of each type.
        pub struct Each {
            /// Counts something,
            /// over two lines.
            count: u32 = 3, 1..=9, "things";
            /// Weighs something.
            weight: f64 = 0.5, 0.0..=2.5, "";
            /// Whether it does something.
            does: bool = false, (), "";
        }
    }

    #[test]
    fn a_declaration_is_struct_default_help_and_check() {
        let rule = Each::default();
        assert_eq!(rule, Each { count: 3, weight: 0.5, does: false });
        let said = Each::LIST.iter().map(|p| (p.name, p.unit, p.what.trim(), (p.expected)()));
        let expected = [
            ("count", "things", "Counts something, over two lines.", "a whole number from 1 to 9"),
            ("weight", "", "Weighs something.", "a number from 0 to 2.5"),
            ("does", "", "Whether it does something.", "true or false"),
        ];
        assert!(said.eq(expected.map(|(name, unit, what, may)| (
            name,
            unit,
            what,
            may.to_owned()
        ))));
    }

    #[test]
    fn values_for_a_search_are_other_allowed_ones() {
        let near = |at: usize, round| -> Vec<String> {
            let Parameter { get, near, .. } = &Each::LIST[at];
            near(&Each::default(), round).iter().map(get).collect()
        };
        // 3 / 4 and 3 / 16 round to 1 and 0, and 12 and 48 are too many.
        assert_eq!(
            (near(0, 0), near(0, 1), near(0, 2)),
            (vec![], vec!["1".into()], vec!["2".into(), "6".into()])
        );
        assert_eq!(
            (near(1, 0), near(1, 1)),
            (vec!["0".into(), "0.0313".into()], vec!["0.125".into(), "2".into()])
        );
        assert_eq!(near(1, 3), ["0.354", "0.707"]);
        assert_eq!(near(2, 0), ["true"]);
    }

    #[test]
    fn only_allowed_values_are_taken() {
        for (at, good, bad) in [
            (0, &["1", "9"][..], &["0", "10", "-1", "1.5", "", "many"][..]),
            (1, &["0", "2.5", "1e-3"], &["2.6", "-0.1", "NaN", "inf", "half"]),
            (2, &["true", "false"], &["yes", "1", ""]),
        ] {
            let Parameter { get, set, .. } = &Each::LIST[at];
            for text in good {
                let mut rule = Each::default();
                assert!(set(&mut rule, text), "{text}");
                let mut again = Each::default();
                assert!(set(&mut again, &get(&rule)), "{text}");
                assert_eq!(rule, again, "{text}");
            }
            for text in bad {
                let mut rule = Each::default();
                assert!(!set(&mut rule, text), "{text}");
                assert_eq!(rule, Each::default(), "{text}");
            }
        }
    }
}
