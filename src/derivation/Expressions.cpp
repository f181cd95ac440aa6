#include "Expressions.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

bool same(const Expr &a, const Expr &b) {
    return graph_equal(a, b);
}

bool same(const std::vector<Expr> &a, const std::vector<Expr> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Expr &x, const Expr &y) { return same(x, y); });
}

bool is_zero(const Expr &e) {
    return is_const_zero(strip_casts(e));
}

bool is_one(const Expr &e) {
    return is_const_one(strip_casts(e));
}

bool is_minus_infinity(const Expr &e) {
    const auto value = as_const_float(strip_casts(e));
    return value && *value == -INFINITY;
}

bool is_plus_infinity(const Expr &e) {
    const auto value = as_const_float(strip_casts(e));
    return value && *value == INFINITY;
}

Expr strip_casts(const Expr &e) {
    Expr inner = e;
    while (const Cast *op = inner.as<Cast>()) {
        inner = op->value;
    }
    return inner;
}

std::vector<Expr> product_factors(const Expr &e) {
    const auto both = [](const Expr &a, const Expr &b) {
        std::vector<Expr> factors = product_factors(a);
        const std::vector<Expr> more = product_factors(b);
        factors.insert(factors.end(), more.begin(), more.end());
        return factors;
    };
    const Expr inner = strip_casts(e);
    if (const auto selection = as_chosen(inner)) {
        return both(selection->value, selection->key);
    }
    if (const Mul *op = inner.as<Mul>()) {
        return both(op->a, op->b);
    }
    if (const Div *op = inner.as<Div>()) {
        return both(op->a, op->b);
    }
    if (const Add *op = inner.as<Add>()) {
        return both(op->a, op->b);
    }
    if (const Sub *op = inner.as<Sub>()) {
        return both(op->a, op->b);
    }
    if (const Select *op = inner.as<Select>()) {
        std::vector<Expr> factors = both(op->true_value, op->false_value);
        factors.push_back(op->condition);
        return factors;
    }
    return {inner};
}

namespace {

class FindVariables : public IRGraphVisitor {
    using IRGraphVisitor::visit;

    void visit(const Variable *op) override {
        found.insert(op->name);
    }

public:
    std::set<std::string> found;
};

}  // namespace

std::set<std::string> variables(const Expr &e) {
    FindVariables find;
    if (e.defined()) {
        e.accept(&find);
    }
    return find.found;
}

std::set<std::string> references(const ReductionGraph &graph, const Expr &e) {
    const std::set<std::string> names = variables(e);
    std::set<std::string> result;
    for (const Reduction &r : graph.reductions) {
        if (names.count("%" + r.name)) {
            result.insert(r.name);
        }
    }
    return result;
}

const Call *as_call(const Expr &e, const std::string &function) {
    const Call *call = e.as<Call>();
    if (!call || (call->call_type != Call::PureExtern && call->call_type != Call::Extern)) {
        return nullptr;
    }
    return call->name == function + "_f32" || call->name == function + "_f64" || call->name == function + "_f16"
               ? call
               : nullptr;
}

Expr where_else_zero(const Expr &c, const Expr &a) {
    if (is_const_one(c) || is_zero(a)) {
        return a;
    }
    const Select *op = a.as<Select>();
    if (op && same(op->condition, c) && is_zero(op->false_value)) {
        return a;
    }
    // x > 0 holds nowhere that x != 0 does not.
    const GT *positive = c.as<GT>();
    const NE *nonzero = op ? op->condition.as<NE>() : nullptr;
    if (positive && nonzero && is_zero(op->false_value) && is_zero(positive->b) && is_zero(nonzero->b) &&
        same(positive->a, nonzero->a)) {
        return select(c, op->true_value, make_zero(a.type()));
    }
    return select(c, a, make_zero(a.type()));
}

Expr times(const Expr &a, const Expr &b) {
    if (!a.defined() || !b.defined()) {
        return a.defined() ? a : b;
    }
    if (is_const(a) && is_const(b) && a.type() == b.type()) {
        return simplify(a * b);
    }
    if (is_one(a) && a.type() == b.type()) {
        return b;
    }
    if (is_one(b) && a.type() == b.type()) {
        return a;
    }
    for (const auto &[x, y] : {std::pair<Expr, Expr>{a, b}, {b, a}}) {
        if (const Select *op = x.as<Select>(); op && is_zero(op->false_value)) {
            return where_else_zero(op->condition, times(op->true_value, y));
        }
    }
    for (const auto &[x, y] : {std::pair<Expr, Expr>{a, b}, {b, a}}) {
        if (const Div *op = x.as<Div>(); op && x.type().is_float()) {
            return times(op->a, y) / op->b;
        }
    }
    return a * b;
}

Expr divided(const Expr &a, const Expr &b, bool guarded) {
    if (is_one(b)) {
        return a;
    }
    if (const Select *op = a.as<Select>(); op && is_zero(op->false_value)) {
        const Expr inner = divided(op->true_value, b, guarded);
        return where_else_zero(op->condition, inner);
    }
    if (!guarded) {
        return a / b;
    }
    return where_else_zero(b != make_zero(b.type()), a / b);
}

Expr all_of(const std::vector<Expr> &conditions) {
    Expr result;
    for (const Expr &c : conditions) {
        result = result.defined() ? result && c : c;
    }
    return result;
}

Expr negation(const Expr &c) {
    if (const Not *op = c.as<Not>()) {
        return op->a;
    }
    if (const And *op = c.as<And>()) {
        return negation(op->a) || negation(op->b);
    }
    if (const Or *op = c.as<Or>()) {
        return negation(op->a) && negation(op->b);
    }
    if (const EQ *op = c.as<EQ>()) {
        return op->a != op->b;
    }
    if (const NE *op = c.as<NE>()) {
        return op->a == op->b;
    }
    // Not for floats: a NaN is neither less nor greater nor equal.
    const LT *lt = c.as<LT>();
    const LE *le = c.as<LE>();
    const GT *gt = c.as<GT>();
    const GE *ge = c.as<GE>();
    if (lt && !lt->a.type().is_float()) {
        return lt->a >= lt->b;
    }
    if (le && !le->a.type().is_float()) {
        return le->a > le->b;
    }
    if (gt && !gt->a.type().is_float()) {
        return gt->a <= gt->b;
    }
    if (ge && !ge->a.type().is_float()) {
        return ge->a < ge->b;
    }
    return !c;
}

bool any_call(const Expr &e, const std::function<bool(const Call *)> &accepts) {
    class Find : public IRGraphVisitor {
        using IRGraphVisitor::visit;
        const std::function<bool(const Call *)> &accepts;
        void visit(const Call *op) override {
            found = found || accepts(op);
            IRGraphVisitor::visit(op);
        }

    public:
        bool found = false;
        explicit Find(const std::function<bool(const Call *)> &accepts) : accepts(accepts) {
        }
    } find(accepts);
    if (e.defined()) {
        e.accept(&find);
    }
    return find.found;
}

bool is_total(const Expr &e) {
    class Find : public IRGraphVisitor {
        using IRGraphVisitor::visit;
        void visit(const Div *) override {
            found = true;
        }
        void visit(const Call *op) override {
            found = found || op->call_type == Call::PureExtern || op->call_type == Call::Extern;
            IRGraphVisitor::visit(op);
        }

    public:
        bool found = false;
    } find;
    e.accept(&find);
    return !find.found;
}

std::vector<Expr> conjuncts(const Expr &c) {
    if (const And *op = c.as<And>()) {
        return joined(conjuncts(op->a), conjuncts(op->b));
    }
    if (!c.defined() || is_const_one(c)) {
        return {};
    }
    return {c};
}

std::vector<Expr> joined(std::vector<Expr> a, const std::vector<Expr> &b) {
    for (const Expr &c : b) {
        if (std::none_of(a.begin(), a.end(), [&](const Expr &known) { return same(known, c); })) {
            a.push_back(c);
        }
    }
    return a;
}

namespace {

class FindDeclaredBounds : public IRVisitor {
    using IRVisitor::visit;
    void visit(const Variable *op) override {
        if (op->param.defined() && !op->param.is_buffer() && op->type == Int(32) && !bounds.contains(op->name)) {
            const Expr least = op->param.min_value(), most = op->param.max_value();
            if (least.defined() || most.defined()) {
                bounds.push(op->name, Interval(least.defined() ? least : Interval::neg_inf(),
                                               most.defined() ? most : Interval::pos_inf()));
            }
        }
    }

public:
    Scope<Interval> bounds;
};

}  // namespace

Expr simplified(const Expr &e) {
    FindDeclaredBounds find;
    e.accept(&find);
    return simplify(e, true, find.bounds);
}

bool is_positive(const Expr &e, const std::set<std::string> &known) {
    const auto positive = [&](const Expr &x) { return is_positive(x, known); };
    const auto nonnegative = [&](const Expr &x) { return is_nonnegative(x, known); };
    if (const auto c = as_const_float(e)) {
        return *c > 0;
    }
    if (const auto c = as_const_int(e)) {
        return *c > 0;
    }
    if (as_call(e, "exp")) {
        return true;
    }
    if (const Mul *op = e.as<Mul>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Div *op = e.as<Div>(); op && e.type().is_float()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Add *op = e.as<Add>()) {
        return (positive(op->a) && nonnegative(op->b)) || (nonnegative(op->a) && positive(op->b));
    }
    if (const Max *op = e.as<Max>()) {
        return positive(op->a) || positive(op->b);
    }
    if (const Select *op = e.as<Select>()) {
        return positive(op->true_value) && positive(op->false_value);
    }
    if (const Cast *op = e.as<Cast>()) {
        return e.type().is_float() && positive(op->value);
    }
    if (const Variable *op = e.as<Variable>(); op && op->param.defined() && !op->param.is_buffer()) {
        const Expr least = op->param.min_value();
        return least.defined() && is_positive(least, known);
    }
    return false;
}

bool is_nonnegative(const Expr &e, const std::set<std::string> &known) {
    const auto nonnegative = [&](const Expr &x) { return is_nonnegative(x, known); };
    if (is_zero(e) || is_positive(e, known) || e.type().is_uint()) {
        return true;
    }
    if (const Variable *op = e.as<Variable>()) {
        const Expr least = op->param.defined() && !op->param.is_buffer() ? op->param.min_value() : Expr();
        return known.count(op->name) > 0 || (least.defined() && is_nonnegative(least, known));
    }
    if (const Mul *op = e.as<Mul>()) {
        return same(op->a, op->b) || (nonnegative(op->a) && nonnegative(op->b));
    }
    if (const Div *op = e.as<Div>()) {
        return nonnegative(op->a) && nonnegative(op->b);
    }
    if (e.as<Mod>() && e.type().is_int()) {
        return true;  // whatever is divided by whatever
    }
    if (const Add *op = e.as<Add>()) {
        return nonnegative(op->a) && nonnegative(op->b);
    }
    if (const Max *op = e.as<Max>()) {
        return nonnegative(op->a) || nonnegative(op->b);
    }
    if (const Min *op = e.as<Min>()) {
        return nonnegative(op->a) && nonnegative(op->b);
    }
    if (const Select *op = e.as<Select>()) {
        return nonnegative(op->true_value) && nonnegative(op->false_value);
    }
    if (const Cast *op = e.as<Cast>()) {
        return nonnegative(op->value);
    }
    if (const Call *op = e.as<Call>()) {
        return op->is_intrinsic(Call::abs) || as_call(e, "sqrt");
    }
    return false;
}

namespace {

void replace_all(std::string &text, const std::string &from, const std::string &to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

/** Halide prints the type of every Variable and Call; a reader does not need it. */
std::string without_types(std::string text) {
    static const char *types[] = {"float16", "float32", "float64", "bfloat16", "int8",   "int16", "int32",
                                  "int64",   "uint8",   "uint16",  "uint32",   "uint64", "bool",  "uint1"};
    for (const char *t : types) {
        replace_all(text, std::string("(") + t + ")", "");
    }
    for (const char *suffix : {"_f32(", "_f64(", "_f16("}) {
        replace_all(text, suffix, "(");
    }
    return text;
}

/** "0.500000f" -> "0.5". */
std::string with_short_floats(const std::string &text) {
    std::string result;
    for (size_t i = 0; i < text.size();) {
        const bool starts =
            isdigit(text[i]) && (i == 0 || !(isalnum(text[i - 1]) || text[i - 1] == '_' || text[i - 1] == '.'));
        size_t end = i;
        while (starts && end < text.size() && (isdigit(text[end]) || text[end] == '.')) {
            end++;
        }
        const std::string number = text.substr(i, end - i);
        if (!starts || number.find('.') == std::string::npos || end == text.size() ||
            (text[end] != 'f' && text[end] != 'e')) {
            const size_t take = starts ? end - i : 1;
            result += text.substr(i, take);
            i += take;
            continue;
        }
        if (text[end] == 'e') {
            for (end += 2; end < text.size() && isdigit(text[end]);) {
                end++;
            }
        }
        std::ostringstream shortened;
        shortened << std::stod(text.substr(i, end - i));
        result += shortened.str();
        i = end + 1;
    }
    return result;
}

}  // namespace

std::string text_of(const Expr &e) {
    if (!e.defined()) {
        return "1";
    }
    std::ostringstream stream;
    stream << e;
    std::string text = with_short_floats(without_types(stream.str()));
    replace_all(text, "-3.40282e+38", "lowest");
    replace_all(text, "inff", "inf");
    replace_all(text, "(-1*", "(-");
    if (text.size() > 2 && text.front() == '(' && text.back() == ')') {
        int depth = 0;
        bool outer = true;
        for (size_t i = 0; i + 1 < text.size(); i++) {
            depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
            outer = outer && depth > 0;
        }
        if (outer) {
            text = text.substr(1, text.size() - 2);
        }
    }
    return text;
}

}  // namespace strobe
