//! Puts every mutant of a file into it, each behind the question whether it is the one of this run.
//!
//! An expression `a == b` becomes `(if on(7) { a != b } else { a == b })`; a function with another value begins with
//! `if on(8) { return value; }`. Where one lies within another the copy inside a mutant is as it was written. A `const fn` asks
//! nothing at run time, so it becomes an `fn` where no constant calls it.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, Block, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, Pat, Signature};

use crate::list::Position;

/// A mutant of the file at hand.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What turns it on; 0 is none.
    pub number: usize,
    pub genre: String,
    pub replacement: String,
    pub at: Position,
}

/// Where in the new text a mutant is, or the body of a function that returns another value in one.
#[derive(Clone, Debug)]
pub struct Region {
    pub number: usize,
    pub bytes: Range<usize>,
    pub body: bool,
}

/// The new text of a file.
#[derive(Debug, Default)]
pub struct Woven {
    pub text: String,
    pub regions: Vec<Region>,
}

/// A place that has mutants.
#[derive(Debug)]
struct Site {
    bytes: Range<usize>,
    shape: Shape,
    /// The number of each and what it puts there.
    mutants: Vec<(usize, String)>,
}

/// What a mutant changes. Places are bytes of the file.
#[derive(Debug)]
enum Shape {
    /// What lies between the braces of a function.
    Body,
    /// This operator.
    Operator(Range<usize>),
    /// A guard of an arm.
    Guard,
    /// An arm's pattern, which gets a guard.
    Pattern,
    /// The `const` of a function.
    Const,
    /// These fields of a struct expression, each with its comma, in the order of the mutants.
    Fields(Vec<Range<usize>>),
}

/// Weaves the mutants into the text of a file. Functions with the names in `constants` stay `const`.
///
/// # Errors
/// Where the file is not Rust.
pub fn weave(text: &str, mutants: &[Mutant], constants: &BTreeSet<String>) -> Result<Woven, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut wanted = BTreeMap::<_, Vec<_>>::new();
    for mutant in mutants {
        wanted.entry((mutant.genre.clone(), mutant.at)).or_default().push(mutant);
    }
    let mut finder = Finder { wanted, constants, sites: Vec::new() };
    finder.visit_file(&file);
    let mut sites = finder.sites;
    sites.sort_by_key(|site| (site.bytes.start, usize::MAX - site.bytes.end));
    let mut woven = Woven::default();
    woven.put(text, 0..text.len(), &sites);
    Ok(woven)
}

impl Woven {
    fn put(&mut self, text: &str, range: Range<usize>, sites: &[Site]) {
        let (mut at, mut rest) = (range.start, sites);
        while let Some((site, after)) = rest.split_first() {
            let inner = after.iter().take_while(|inner| inner.bytes.end <= site.bytes.end).count();
            let (inner, after) = after.split_at(inner);
            self.text += &text[at..site.bytes.start];
            self.put_site(text, site, inner);
            (at, rest) = (site.bytes.end, after);
        }
        self.text += &text[at..range.end];
    }

    fn put_site(&mut self, text: &str, site: &Site, inner: &[Site]) {
        let Range { start, end } = site.bytes;
        match &site.shape {
            Shape::Body => {
                for (number, value) in &site.mutants {
                    self.mutant(*number, &format!("if crate::mutants::on({number}) {{ return {value}; }} "));
                }
                let begin = self.text.len();
                self.put(text, start..end, inner);
                let bytes = begin..self.text.len();
                let body = |(number, _): &(usize, String)| Region {
                    number: *number,
                    bytes: bytes.clone(),
                    body: true,
                };
                self.regions.extend(site.mutants.iter().map(body));
            }
            Shape::Const => {}
            Shape::Pattern => {
                self.put(text, start..end, inner);
                for (number, _) in &site.mutants {
                    self.mutant(*number, &format!(" if !crate::mutants::on({number})"));
                }
            }
            Shape::Operator(operator) => {
                let put =
                    |other: &String| [&text[start..operator.start], other, &text[operator.end..end]].concat();
                let others = site.mutants.iter().map(|(number, other)| (*number, put(other)));
                self.one_of(text, start..end, others, inner);
            }
            Shape::Guard => self.one_of(text, start..end, site.mutants.iter().cloned(), inner),
            Shape::Fields(fields) => {
                let numbers = site.mutants.iter().map(|(number, _)| *number);
                let without =
                    |field: &Range<usize>| [&text[start..field.start], &text[field.end..end]].concat();
                self.one_of(text, start..end, numbers.zip(fields.iter().map(without)), inner);
            }
        }
    }

    /// An expression, and in each mutant another one in its place.
    fn one_of(
        &mut self,
        text: &str,
        range: Range<usize>,
        others: impl Iterator<Item = (usize, String)>,
        inner: &[Site],
    ) {
        self.text += "(";
        for (number, other) in others {
            self.mutant(number, &format!("if crate::mutants::on({number}) {{ {other} }} else "));
        }
        self.text += "{ ";
        self.put(text, range, inner);
        self.text += " })";
    }

    fn mutant(&mut self, number: usize, text: &str) {
        let start = self.text.len();
        self.text += text;
        self.regions.push(Region { number, bytes: start..self.text.len(), body: false });
    }
}

struct Finder<'a> {
    wanted: BTreeMap<(String, Position), Vec<&'a Mutant>>,
    constants: &'a BTreeSet<String>,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn take(&self, genre: &str, at: LineColumn) -> Vec<(usize, String)> {
        let at = Position { line: at.line, column: at.column + 1 };
        let found = self.wanted.get(&(genre.to_owned(), at));
        found.into_iter().flatten().map(|mutant| (mutant.number, mutant.replacement.clone())).collect()
    }

    fn site(&mut self, bytes: Range<usize>, shape: Shape, mutants: Vec<(usize, String)>) {
        if !mutants.is_empty() {
            self.sites.push(Site { bytes, shape, mutants });
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        if let Some(constant) = &signature.constness
            && !self.constants.contains(&signature.ident.to_string())
        {
            let bytes = constant.span.byte_range();
            self.sites.push(Site { bytes, shape: Shape::Const, mutants: Vec::new() });
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        // `let` is part of the condition that it stands in and nothing by itself.
        if !matches!(*binary.left, Expr::Let(_))
            && !matches!(*binary.right, Expr::Let(_))
            && !has_let(&binary.left)
        {
            let operator = binary.op.span();
            let mutants = self.take("BinaryOperator", operator.start());
            self.site(binary.span().byte_range(), Shape::Operator(operator.byte_range()), mutants);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let operator = unary.op.span();
        let mutants = self.take("UnaryOperator", operator.start());
        self.site(unary.span().byte_range(), Shape::Operator(operator.byte_range()), mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, found: &'ast ExprMatch) {
        // A wildcard with a guard takes nothing in that comes from another arm: the match would not be exhaustive.
        let takes_all = |arm: &Arm| matches!(arm.pat, Pat::Wild(_)) && arm.guard.is_none();
        let is_caught = found.arms.iter().any(takes_all);
        for arm in &found.arms {
            self.arm(arm, is_caught);
        }
        visit::visit_expr_match(self, found);
    }

    fn visit_expr_struct(&mut self, found: &'ast ExprStruct) {
        let (mut mutants, mut fields) = (Vec::new(), Vec::new());
        for pair in found.fields.pairs() {
            let field = pair.value().span();
            for mutant in self.take("StructField", field.start()) {
                let end = pair.punct().map_or(field.byte_range().end, |comma| comma.span().byte_range().end);
                mutants.push(mutant);
                fields.push(field.byte_range().start..end);
            }
        }
        self.site(found.span().byte_range(), Shape::Fields(fields), mutants);
        visit::visit_expr_struct(self, found);
    }
}

impl Finder<'_> {
    fn body(&mut self, block: &Block) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let (first, last) = (first.span(), last.span());
        let mutants = self.take("FnValue", first.start());
        self.site(first.byte_range().start..last.byte_range().end, Shape::Body, mutants);
    }

    fn arm(&mut self, arm: &Arm, is_caught: bool) {
        if let Some((_, guard)) = &arm.guard {
            let mutants = self.take("MatchArmGuard", guard.span().start());
            self.site(guard.span().byte_range(), Shape::Guard, mutants);
        } else if is_caught && !matches!(arm.pat, Pat::Wild(_)) {
            let mutants = self.take("MatchArm", arm.span().start());
            self.site(arm.pat.span().byte_range(), Shape::Pattern, mutants);
        }
    }
}

/// Whether this is a chain of conditions with a `let`.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Mutant, Woven, weave};
    use crate::list::Position;

    fn mutant(number: usize, genre: &str, replacement: &str, line: usize, column: usize) -> Mutant {
        let (genre, replacement) = (genre.to_owned(), replacement.to_owned());
        Mutant { number, genre, replacement, at: Position { line, column } }
    }

    fn woven(text: &str, mutants: &[Mutant]) -> Woven {
        weave(text, mutants, &BTreeSet::new()).unwrap()
    }

    #[test]
    fn mutants_within_mutants_are_woven_once_each() {
        let text = "fn f(a: u8, b: u8) -> bool {\n    !(a == b)\n}\n";
        let mutants = [
            mutant(1, "FnValue", "true", 2, 5),
            mutant(2, "UnaryOperator", "", 2, 5),
            mutant(3, "BinaryOperator", "!=", 2, 9),
        ];
        let woven = woven(text, &mutants);
        assert_eq!(
            woven.text,
            "fn f(a: u8, b: u8) -> bool {\n    if crate::mutants::on(1) { return true; } (if crate::mutants::on(2) { \
             (a == b) } else { !((if crate::mutants::on(3) { a != b } else { a == b })) })\n}\n"
        );
        assert_eq!(woven.regions.len(), 4, "one each, and the body");
    }

    #[test]
    fn arms_guards_and_fields_are_woven() {
        let text = "fn f(a: u8) -> S {\nmatch a {\n1 => S { b: 1, ..s },\n2 if a > 1 => s,\n_ => t,\n}\n}\n";
        let mutants = [
            mutant(1, "MatchArm", "", 3, 1),
            mutant(2, "StructField", "", 3, 10),
            mutant(3, "MatchArmGuard", "true", 4, 6),
            mutant(4, "MatchArmGuard", "false", 4, 6),
        ];
        let woven = woven(text, &mutants);
        assert!(woven.text.contains("1 if !crate::mutants::on(1) => (if crate::mutants::on(2) { S {  ..s } } else { S { b: 1, ..s } }),"), "{}", woven.text);
        assert!(woven.text.contains("2 if (if crate::mutants::on(3) { true } else if crate::mutants::on(4) { false } else { a > 1 }) =>"), "{}", woven.text);
    }

    #[test]
    fn an_arm_stays_where_nothing_else_takes_its_values() {
        let text = "fn f(a: bool) -> u8 {\nmatch a {\n_ if b() => 1,\ntrue => 2,\nfalse => 3,\n}\n}\n";
        let woven = woven(text, &[mutant(1, "MatchArm", "", 4, 1), mutant(2, "MatchArm", "", 5, 1)]);
        assert_eq!(woven.text, text);
    }

    #[test]
    fn a_let_stays_in_its_condition() {
        let text = "fn f() {\nif a && b && let Some(c) = d { e() }\n}\n";
        let mutants = [mutant(1, "BinaryOperator", "||", 2, 6), mutant(2, "BinaryOperator", "||", 2, 11)];
        let text = woven(text, &mutants).text;
        assert!(
            text.contains("if (if crate::mutants::on(1) { a || b } else { a && b }) && let Some(c) = d"),
            "{text}"
        );
    }

    #[test]
    fn a_function_stays_constant_only_where_a_constant_calls_it() {
        let text = "const fn f() -> u8 {\n1\n}\n";
        let mutants = [mutant(1, "FnValue", "0", 2, 1)];
        let woven = |constants: &[&str]| {
            let constants = constants.iter().map(|name| (*name).to_owned()).collect();
            weave(text, &mutants, &constants).unwrap().text
        };
        assert!(woven(&[]).starts_with(" fn f()"));
        assert!(woven(&["f"]).starts_with("const fn f()"));
    }
}
