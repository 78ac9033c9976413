//! Tests of the parser and the formatter.

use fastrand::Rng;

use super::*;

/// Writes an expression with all its parentheses, the way that tests compare trees.
fn show(file: &File, id: ExprId) -> String {
    let all = |ids: &[ExprId]| ids.iter().map(|&i| show(file, i)).collect::<Vec<_>>().join(", ");
    let opt = |id: &Option<ExprId>| id.map(|i| show(file, i)).unwrap_or_default();
    match &file.expr(id).kind {
        ExprKind::Int(v) => v.to_string(),
        ExprKind::Float(v) => format!("{v:?}"),
        ExprKind::Imaginary(v) => format!("{v:?}j"),
        ExprKind::Bool(v) => v.to_string(),
        ExprKind::Str(s) => format!("{s:?}"),
        ExprKind::None => "None".into(),
        ExprKind::Dtype(n) => format!("<{}>", file.name(*n)),
        ExprKind::Typed { dtype, value } => format!("{}:{}", file.name(*dtype), show(file, *value)),
        ExprKind::Name(n) => file.name(*n).into(),
        ExprKind::AttrVar(n) => format!("${}", file.name(*n)),
        ExprKind::List(v) => format!("[{}]", all(v)),
        ExprKind::Unary(UnaryOp::Neg, a) => format!("(-{})", show(file, *a)),
        ExprKind::Unary(UnaryOp::Not, a) => format!("(~{})", show(file, *a)),
        ExprKind::Binary(op, a, b) => format!("({} {} {})", show(file, *a), op.symbol(), show(file, *b)),
        ExprKind::Call { plugin, name, args } => {
            let args: Vec<String> = args
                .iter()
                .map(|a| a.name.map(|n| format!("{}=", file.name(n))).unwrap_or_default() + &show(file, a.value))
                .collect();
            let plugin = plugin.map(|p| format!("{}::", file.name(p))).unwrap_or_default();
            format!("{plugin}{}({})", file.name(*name), args.join(", "))
        }
        ExprKind::Index { base, items } => {
            let items: Vec<String> = items
                .iter()
                .map(|item| match item {
                    IndexItem::At(e) => show(file, *e),
                    IndexItem::Slice { start, stop, step } => {
                        format!("{}:{}:{}", opt(start), opt(stop), opt(step))
                    }
                    IndexItem::Ellipsis => "...".into(),
                    IndexItem::NewAxis => "None".into(),
                })
                .collect();
            format!("{}[{}]", show(file, *base), items.join(", "))
        }
        ExprKind::Scan(s) => {
            let seqs: Vec<String> =
                s.sequences.iter().map(|(n, e)| format!("{} in {}", file.name(*n), show(file, *e))).collect();
            format!("scan({}; {}; {} stmts)", seqs.join(", "), opt(&s.steps), s.body.len())
        }
        ExprKind::If(i) => {
            format!("if {} {{{}}} else {{{}}}", show(file, i.cond), all(&i.then.results), all(&i.otherwise.results))
        }
        ExprKind::Inside(i) => format!("{} {{{}}}", i.op, all(&i.block.results)),
        ExprKind::Custom(c) => format!("custom_vjp {{{}}} vjp {{{}}}", all(&c.forward.results), all(&c.backward.results)),
    }
}

fn check_expr(input: &str, expected: &str) {
    let text = format!("fn f() {{\n return {input}\n}}");
    let file = parse(Source::new("t", text)).unwrap_or_else(|e| panic!("{input}\n{e}"));
    let function = file.functions().next().expect("one function");
    let StmtKind::Return(outputs) = &function.body[0].kind else { panic!("no return") };
    assert_eq!(show(&file, outputs[0].value), expected, "{input}");
}

/// The first line of the error must be `expected`; the place and help must contain `also`.
fn check_error(input: &str, expected: &str, also: &str) {
    let error = parse(Source::new("t.arig", input)).expect_err(input).to_string();
    assert_eq!(error.lines().next(), Some(expected), "{error}");
    assert!(error.contains(also), "{error}");
}

fn check_format(input: &str, expected: &str) {
    let once = format(&Source::new("t", input)).unwrap_or_else(|e| panic!("{input}\n{e}"));
    assert_eq!(once, expected);
    assert_eq!(format(&Source::new("t", once.as_str())).as_deref(), Ok(once.as_str()), "formatting is idempotent");
}

const EXAMPLE: &str = include_str!("example.arig");

#[test]
fn expressions() {
    check_expr("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)");
    check_expr("-x ** 2", "(-(x ** 2))");
    check_expr("2 ** -x ** 2", "(2 ** (-(x ** 2)))");
    check_expr("-x * y", "((-x) * y)");
    check_expr("a - b - c", "((a - b) - c)");
    check_expr("a | b ^ c & d << e + f @ g", "(a | (b ^ (c & (d << (e + (f @ g))))))");
    check_expr("a + b < c | d", "((a + b) < (c | d))");
    check_expr("~a & b", "((~a) & b)");
    check_expr("(a < b) & (b < c)", "((a < b) & (b < c))");
    check_expr("a // b % c / d", "(((a // b) % c) / d)");
    check_expr("x[1:, ::2]", "x[1::, ::2]");
    check_expr("x[..., None, -1, :, a:b:c, ::-1, a::2, :3]", "x[..., None, (-1), ::, a:b:c, ::(-1), a::2, :3:]");
    check_expr("x[i][m, 0]", "x[i][m, 0]");
    check_expr("sum(x, axis=[0, 1], keepdims=true,)", "sum(x, axis=[0, 1], keepdims=true)");
    check_expr("plugin::op(x, attr=1)", "plugin::op(x, attr=1)");
    check_expr("cast(x, f64) + f32(-inf) + bool([true, false])", "((cast(x, <f64>) + f32:(-inf)) + bool:[true, false])");
    check_expr("[1.5, 1e-3, .5, 1_000, 2j, nan, [], 3.]", "[1.5, 0.001, 0.5, 1000, 2.0j, NaN, [], 3.0]");
    check_expr(r#"f("a\"\\\n", None)"#, r#"f("a\"\\\n", None)"#);
    check_expr("where(a, b, c)", "where(a, b, c)");
    check_expr("(a +\n b)[\n0]", "(a + b)[0]");
    check_expr("if c { a, b } else { d, e }", "if c {a, b} else {d, e}");
    check_expr("if c {\n t = a\n t, b }\n else if k { d } else { e }", "if c {t, b} else {if k {d} else {e}}");
    check_expr("scan (a_t in a, steps = 5) { yield a_t }", "scan(a_t in a; 5; 1 stmts)");
    check_expr("18446744073709551615", "18446744073709551615");
}

#[test]
fn the_example_parses_and_is_in_standard_layout() {
    let file = parse(Source::new("example.arig", EXAMPLE)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(file.functions().count(), 3);
    assert_eq!(file.rules().count(), 3);
    let rule = file.rules().nth(1).expect("a rule");
    assert_eq!(show(&file, rule.lhs), "log(softmax(x, axis=$a))");
    assert_eq!(rule.tags.iter().map(|t| file.name(*t)).collect::<Vec<_>>(), ["stabilize"]);
    assert_eq!(rule.conditions.len(), 1);
    check_format(EXAMPLE, EXAMPLE);
}

#[test]
fn layout() {
    check_format("\n\n# a\n\n\n# b\nfn f( ) {\n\nreturn\n\n}\n", "# a\n\n# b\nfn f() {\n    return\n}\n");
    check_format("fn f(x:f32[ n,2 ]=1){return x [1 : -1,::2]}", "fn f(x: f32[n, 2] = 1) { return x[1:-1, ::2] }\n");
    check_format("fn f() {\ny=g([\n[1,- 2],\n# c\n],a = -1)# d\nreturn loss = y}", {
        "fn f() {\n    y = g([\n        [1, -2],\n        # c\n    ], a=-1)  # d\n    return loss=y\n}\n"
    });
    check_format("fn f(x,beta=1.0){return x}", "fn f(x, beta = 1.0) { return x }\n");
    check_format("rule r[a,b] : -(- x)=>x  where p(x,1)", "rule r [a, b]: -(-x) => x where p(x, 1)\n");
    check_format("fn f(where: f64[]) {return where- -rule}", "fn f(where: f64[]) { return where - -rule }\n");
    check_format("fn f() {return [1]+[-x,~y]}\r\n", "fn f() { return [1] + [-x, ~y] }\n");
    check_format("fn f() {\nh = scan(steps=3){\nyield 1}\n}", {
        "fn f() {\n    h = scan (steps = 3) {\n        yield 1\n    }\n}\n"
    });
    // Only the `}` of a block of several lines goes to a line of its own, and every such one does.
    check_format("fn f() {\nreturn if c {a} else {\nb} }  # e\n", {
        "fn f() {\n    return if c { a } else {\n        b\n    }\n}  # e\n"
    });
    check_format("fn f() { return g(scan (steps = 3) {\nyield 1 }, axis=0) }", {
        "fn f() { return g(scan (steps = 3) {\n    yield 1\n}, axis=0)\n}\n"
    });
}

#[test]
fn errors() {
    check_error("func f() {}", "expected `fn` or `rule`, found `func`", "did you mean `fn`?");
    check_error("fn f(x: f23[]) {}", "expected a type, like `f32[n, 64]`, found `f23`", "did you mean `f32`?");
    check_error("fn f(x: f32) {}", "expected `[`, found `)`", "the type of a scalar is `f32[]`");
    check_error("fn f(x y) {}", "expected `,` or `)`, found `y`", "t.arig:1:8\n");
    check_error("fn f() {\n retrun 1\n}", "expected a statement, found `retrun`", "did you mean `return`?");
    check_error("fn f() {\n y = (1 +\n", "this `(` is never closed", "t.arig:2:6\n");
    check_error("fn f() {\n y = [1)\n}", "`)` does not close the `[` of 2:6", "2 |  y = [1)\n  |        ^");
    check_error("fn f() { y = a < b < c }", "comparisons do not chain", "write `(a < b) & (b < c)`");
    check_error("fn f() { y = a and b }", "expected the end of the line, found `and`", "logical_and");
    check_error("fn f() { exp(x) }", "expected `=`, found `(`", "has no effect");
    check_error("fn f() { y = 1.5f32 }", "`1.5f32` is not a number", "write `f32(1.5)`");
    check_error("fn f() { y = 99999999999999999999 }", "`99999999999999999999` does not fit into 64 bits", "1:14");
    check_error("fn f() { y = 'a' }", "unexpected character `'`", "double quotes");
    check_error("fn f() { y = \"a }", "this string does not end on its line", "1:14");
    check_error("fn f() { yield 1 }", "`yield` stands only in a `scan`", "1:10");
    check_error("fn f() { inf = 1 }", "expected a statement, but `inf` is a reserved word", "1:10");
    check_error("fn f() { y = g(a=1, 2) }", "expected a keyword argument, as all after the first one, found `2`", "");
    check_error("fn f() { y = x[] }", "expected an index between `[` and `]`", "1:15");
    check_error("fn f() { y = if c { a } }", "expected `else`, found `}`", "both branches");
    check_error("fn f() { y = (a, b) }", "expected `)`, found `,`", "lists stand in `[ ]`");
    check_error("fn f() { y = a <-b }", "expected the end of the line, found `<-`", "a comparison is written `a < -b`");
    check_error("fn f() { y = 1 ) }", "`)` does not close the `{` of 1:8", "1:16\n");
    check_error("fn f() { y = 1 2 }", "expected the end of the line, found `2`", "1:16\n");
    check_error("fn f() { y = x + }", "expected an expression, found `}`", "1:18\n");
    check_error("fn f() { y = x ! }", "unexpected character `!`", "logical not");
    check_error("fn f() { y = x.sum() }", "unexpected character `.`", "write `op(x)`");
    check_error("fn f() { y = \"\\q\" }", r#"expected one of `\n \t \r \0 \" \\` in a string"#, "1:15\n");
    check_error("fn f(x: f32[-1]) {}", "expected a dim: a number, a name or `?`, found `-`", "1:13\n");
    check_error("fn f() { if = 1 }", "expected a statement, but `if` is a reserved word", "1:10\n");
    check_error("fn f() {\n    y = 1", "this `{` is never closed", "t.arig:1:8\n");
    check_error("rule r: x => y where z", "expected a condition, like `is_float(x)`", "1:22\n");
    check_error("fn f() { λ = ] }", "`]` does not close the `{` of 1:8", "1:14\n");
}

#[test]
fn nesting_is_limited_and_length_is_not() {
    let pairs = |open: &str, close: &str| open.repeat(100_000) + "1" + &close.repeat(100_000);
    let all = [
        pairs("(", ")"), pairs("[", "]"), pairs("-", ""), pairs("f(", ")"), pairs("x[", "]"), pairs("2 ** ", ""),
        pairs("f32(", ")"), pairs("if c { ", " } else { d }"), pairs("scan (steps = ", ") { yield 1 }"),
    ];
    for deep in all {
        let error = parse(Source::new("t", format!("fn f() {{ y = {deep} }}"))).expect_err("must be an error");
        assert_eq!(error.message, "this nests more than 256 levels deep");
    }
    let closed = format!("fn f() {{ y = {}1{} }}", "[".repeat(1000), "]".repeat(1000));
    check_error(&closed, "this nests more than 256 levels deep", "t.arig:1:2");
    let ok = format!("fn f() {{ y = {}1{} }}", "(".repeat(200), ")".repeat(200));
    parse(Source::new("t", ok)).unwrap_or_else(|e| panic!("{e}"));
    for long in [" + 1".repeat(100_000), "[0]".repeat(100_000)] {
        parse(Source::new("t", format!("fn f() {{ y = x{long} }}"))).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn a_million_statements_parse() {
    use std::fmt::Write;
    let mut text = String::from("fn f(x0: f64[]) {\n");
    for i in 0..1_000_000 {
        writeln!(text, "    x{} = sin(x{i})", i + 1).expect("a string takes it");
    }
    text.push_str("    return x1000000\n}\n");
    let start = std::time::Instant::now();
    let file = parse(Source::new("t", text)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(file.functions().next().map(|f| f.body.len()), Some(1_000_001));
    println!("parsed in {:?}", start.elapsed());
    drop(file);
    assert!(start.elapsed().as_secs() < 20);
}

/// Numbers from the seed that `ARIGNOTE_SEED` gives, or from one that is always the same, so that a failure
/// belongs to the change at hand; it is printed.
pub(super) fn seeded() -> Rng {
    let seed = std::env::var("ARIGNOTE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("reproduce with ARIGNOTE_SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn strings_survive_quoting() {
    let text = "a\"b\\c\nd\te\r\0é{}";
    check_expr(&lexer::quote(text), &format!("{text:?}"));
}
