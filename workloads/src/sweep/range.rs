//! Ranges: `16..1024:*2` multiplies, `0.1..0.9:0.1` adds, and both reach their end if they meet it.

use super::decimal::Decimal;
use super::plan::POINTS_MAX;

/// A range as it is written, or the reason why it is none.
pub(super) struct Range {
    start: Decimal,
    end: Decimal,
    step: Step,
    /// Whether start and end are written as whole numbers.
    whole: bool,
}

enum Step {
    Add(Decimal),
    Multiply(Decimal),
}

/// A number of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

impl Range {
    /// Reads `text`; `None` if it does not look like a range: numbers around `..`, and a step after `:`.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (start, rest) = text.split_once("..")?;
        let (end, step) = rest.split_once(':')?;
        let (start, end, step) = (start.trim(), end.trim(), step.trim());
        let numeric = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        if !numeric(start) && !numeric(end) {
            return None;
        }
        Some(Self::parse_parts(start, end, step))
    }

    fn parse_parts(start: &str, end: &str, step: &str) -> Result<Self, String> {
        let number = |what: &str, text: &str| {
            Decimal::parse(text).ok_or_else(|| format!("its {what} `{text}` is no number"))
        };
        let (first, last) = (number("start", start)?, number("end", end)?);
        let step = match step.strip_prefix('*') {
            Some(factor) => Step::Multiply(number("factor", factor.trim())?),
            None => Step::Add(number("step", step)?),
        };
        let written_whole =
            |text: &str| !text.contains('.') && (text.contains('x') || !text.contains(['e', 'E']));
        let range = Self { start: first, end: last, step, whole: written_whole(start) && written_whole(end) };
        range.check()?;
        Ok(range)
    }

    /// The step leads from the start towards the end.
    fn check(&self) -> Result<(), String> {
        let direction = self.end.cmp(&self.start) as i128;
        match &self.step {
            Step::Add(step) if step.signum() == 0 => Err("its step is 0".into()),
            Step::Add(step) if direction != 0 && step.signum() != direction => {
                Err(format!("steps of {step} lead away from its end"))
            }
            Step::Multiply(factor) => self.check_factor(*factor, direction),
            Step::Add(_) => Ok(()),
        }
    }

    fn check_factor(&self, factor: Decimal, direction: i128) -> Result<(), String> {
        if self.start.signum() != 1 || self.end.signum() != 1 {
            return Err("start and end of a range that multiplies must be greater than 0".into());
        }
        let growth = factor.cmp(&Decimal::whole(1)) as i128;
        if factor.signum() != 1 || growth == 0 {
            return Err(format!("its factor is {factor}; it must be greater than 0, and not 1"));
        }
        if direction != 0 && growth != direction {
            return Err(format!("factors of {factor} lead away from its end"));
        }
        Ok(())
    }

    /// The numbers, from the start; whole ones only if the range is written so and all are.
    pub fn numbers(&self) -> Result<Vec<Number>, String> {
        let (least, greatest) = (self.start.min(self.end), self.start.max(self.end));
        let mut decimals = Vec::new();
        let mut next = Some(self.start);
        while let Some(number) = next.filter(|number| (least..=greatest).contains(number)) {
            if decimals.len() as u64 == POINTS_MAX {
                return Err(format!("it has more than {POINTS_MAX} values"));
            }
            decimals.push(number);
            let previous = number;
            next = match self.step {
                Step::Add(step) => number.plus(step),
                Step::Multiply(factor) => number.times(factor),
            };
            if next.is_none() || next == Some(previous) {
                return Err(format!("after {previous} its numbers have too many digits"));
            }
        }
        self.typed(&decimals)
    }

    fn typed(&self, decimals: &[Decimal]) -> Result<Vec<Number>, String> {
        let whole: Option<Vec<i128>> = decimals.iter().map(|number| number.to_whole()).collect();
        let Some(whole) = whole.filter(|_| self.whole) else {
            return Ok(decimals.iter().map(|number| Number::Float(number.to_f64())).collect());
        };
        whole
            .into_iter()
            .map(|number| i64::try_from(number).map(Number::Integer))
            .collect::<Result<_, _>>()
            .map_err(|_| String::from("its numbers go beyond 64 bits"))
    }
}

/// Whether `text` is a range but for its step.
pub(super) fn lacks_step(text: &str) -> bool {
    text.split_once("..").is_some_and(|(start, end)| {
        Decimal::parse(start.trim()).is_some() && Decimal::parse(end.trim()).is_some()
    })
}
