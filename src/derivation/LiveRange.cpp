#include "LiveRange.h"

#include "Expressions.h"
#include "TileTruth.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** lower <= j <= upper for all of them, each over the row's coordinate; and
 * conditions on the rows alone. */
struct Constraints {
    std::vector<Expr> lowers, uppers, rows;
    bool exact = true;  // nothing was left out
};

class Solver {
    const ReductionGraph &graph;
    const Roles &roles;

    bool uses(const Expr &e, const std::string &axis) const {
        return expr_uses_var(e, axis);
    }
    bool loads_rows(const Expr &e) const;
    bool invert(const Expr &e, Expr bound, bool upper, Constraints &result) const;
    Constraints at_most_zero(const Expr &a, const Expr &b, int offset) const;
    Constraints both(Constraints a, const Constraints &b) const;
    Constraints either(const Constraints &a, const Constraints &b) const;
    Constraints solve(const Expr &c, bool negated) const;
    bool is_contiguous(const Constraints &c) const;
    Expr extreme(const Expr &e, bool greatest) const;

public:
    Solver(const ReductionGraph &graph, const Roles &roles) : graph(graph), roles(roles) {
    }
    void fill(MaskVerdict &verdict) const;
};

int occurrences(const Expr &e, const std::string &name) {
    class Count : public IRVisitor {
        using IRVisitor::visit;
        void visit(const Variable *op) override {
            n += op->name == name;
        }

    public:
        const std::string &name;
        int n = 0;
        explicit Count(const std::string &name) : name(name) {
        }
    } count(name);
    e.accept(&count);
    return count.n;
}

Constraints nothing_known() {
    Constraints c;
    c.exact = false;
    return c;
}

/** An input that is loaded at an index depending on the tile. */
bool Solver::loads_rows(const Expr &e) const {
    return any_call(e, [&](const Call *op) {
        return op->call_type == Call::Image && (expr_uses_var(op, roles.query) || expr_uses_var(op, roles.stream));
    });
}

/** e <= bound (or >=) solved for the one occurrence of the stream's coordinate in
 * e, through operators that keep or reverse the order. Division rounds down. */
bool Solver::invert(const Expr &e, Expr bound, bool upper, Constraints &result) const {
    const std::string &j = roles.stream;
    if (const Variable *v = e.as<Variable>(); v && v->name == j) {
        if (bound.type() != Int(32)) {  // no coordinate is at the ends of what 32 bits hold
            bound = cast<int32_t>(clamp(bound, cast(bound.type(), Int(32).min() + 1), cast(bound.type(), Int(32).max() - 1)));
        }
        (upper ? result.uppers : result.lowers).push_back(simplify(bound));
        return true;
    }
    if (const Cast *op = e.as<Cast>(); op && op->type == Int(64) && op->value.type() == Int(32)) {
        return invert(op->value, bound, upper, result);
    }
    if (const Add *op = e.as<Add>()) {
        return uses(op->a, j) ? invert(op->a, bound - op->b, upper, result)
                              : invert(op->b, bound - op->a, upper, result);
    }
    if (const Sub *op = e.as<Sub>()) {
        return uses(op->a, j) ? invert(op->a, bound + op->b, upper, result)
                              : invert(op->b, op->a - bound, !upper, result);
    }
    if (const Mul *op = e.as<Mul>()) {
        const Expr &inner = uses(op->a, j) ? op->a : op->b;
        const auto by = as_const_int(uses(op->a, j) ? op->b : op->a);
        if (!by || *by == 0) {
            return false;
        }
        if (*by < 0) {
            return invert(inner * int(-*by), -bound, !upper, result);
        }
        const int factor = int(*by);
        return invert(inner, (upper ? bound : bound + (factor - 1)) / factor, upper, result);
    }
    if (const Div *op = e.as<Div>()) {
        if (!is_positive(op->b, {}) || uses(op->b, j)) {
            return false;
        }
        // A bound that is not known now may be far outside of all keys.
        const Expr most = is_const(op->b) ? Expr() : (Int(32).max() / op->b) - 1;
        const Expr inside = most.defined() ? clamp(bound, -most, most) : bound;
        return invert(op->a, upper ? inside * op->b + (op->b - 1) : inside * op->b, upper, result);
    }
    return false;
}

/** a - b + offset <= 0. */
Constraints Solver::at_most_zero(const Expr &a, const Expr &b, int offset) const {
    if ((a.type() != Int(32) && a.type() != Int(64)) || loads_rows(a) || loads_rows(b)) {
        return nothing_known();
    }
    const Call *call = strip_casts(a).as<Call>();
    if (call && call->is_intrinsic(Call::abs) && call->args[0].type() == Int(32)) {
        const Expr x = cast(a.type(), call->args[0]);
        return both(at_most_zero(x, b, offset), at_most_zero(-x, b, offset));
    }
    Constraints result;
    const Expr difference = simplify(a - b + offset);
    if (occurrences(difference, roles.stream) == 1) {
        return invert(difference, 0, true, result) ? result : nothing_known();
    }
    // Simplification can spread a coordinate; as written it may occur once.
    if (occurrences(a, roles.stream) + occurrences(b, roles.stream) != 1) {
        return nothing_known();
    }
    const bool left = uses(a, roles.stream);
    return invert(left ? a : b, left ? b - offset : a + offset, left, result) ? result : nothing_known();
}

Constraints Solver::both(Constraints a, const Constraints &b) const {
    a.lowers.insert(a.lowers.end(), b.lowers.begin(), b.lowers.end());
    a.uppers.insert(a.uppers.end(), b.uppers.begin(), b.uppers.end());
    a.rows.insert(a.rows.end(), b.rows.begin(), b.rows.end());
    a.exact = a.exact && b.exact;
    return a;
}

Expr fold(const std::vector<Expr> &v, bool greatest) {
    Expr result;
    for (const Expr &e : v) {
        result = !result.defined() ? e : greatest ? max(result, e) : min(result, e);
    }
    return result;
}

/** The hull of both: exact if both are bounded on one side only, the same one. */
Constraints Solver::either(const Constraints &a, const Constraints &b) const {
    Constraints result;
    if (!a.uppers.empty() && !b.uppers.empty()) {
        result.uppers.push_back(max(fold(a.uppers, false), fold(b.uppers, false)));
    }
    if (!a.lowers.empty() && !b.lowers.empty()) {
        result.lowers.push_back(min(fold(a.lowers, true), fold(b.lowers, true)));
    }
    const bool below = a.lowers.empty() && b.lowers.empty() && !result.uppers.empty();
    const bool above = a.uppers.empty() && b.uppers.empty() && !result.lowers.empty();
    result.exact = a.exact && b.exact && a.rows.empty() && b.rows.empty() && (below || above);
    return result;
}

Constraints Solver::solve(const Expr &c, bool negated) const {
    if (!uses(c, roles.stream)) {
        Constraints result;
        if (loads_rows(c)) {
            result.exact = false;
        } else if (!is_const_one(simplify(negated ? !c : c))) {
            result.rows.push_back(negated ? !c : c);
        }
        return result;
    }
    if (const Not *op = c.as<Not>()) {
        return solve(op->a, !negated);
    }
    if (const And *op = c.as<And>()) {
        const Constraints a = solve(op->a, negated), b = solve(op->b, negated);
        return negated ? either(a, b) : both(a, b);
    }
    if (const Or *op = c.as<Or>()) {
        const Constraints a = solve(op->a, negated), b = solve(op->b, negated);
        return negated ? both(a, b) : either(a, b);
    }
    if (const LT *op = c.as<LT>()) {
        return negated ? at_most_zero(op->b, op->a, 0) : at_most_zero(op->a, op->b, 1);
    }
    if (const LE *op = c.as<LE>()) {
        return negated ? at_most_zero(op->b, op->a, 1) : at_most_zero(op->a, op->b, 0);
    }
    if (const GT *op = c.as<GT>()) {
        return solve(op->b < op->a, negated);
    }
    if (const GE *op = c.as<GE>()) {
        return solve(op->b <= op->a, negated);
    }
    if (const EQ *op = c.as<EQ>(); op && !negated && !op->a.type().is_bool()) {
        return both(at_most_zero(op->a, op->b, 0), at_most_zero(op->b, op->a, 0));
    }
    if (const NE *op = c.as<NE>(); op && negated && !op->a.type().is_bool()) {
        return solve(op->a == op->b, false);
    }
    return nothing_known();
}

/** The least or greatest value of \p e over the rows of the block. */
Expr Solver::extreme(const Expr &e, bool greatest) const {
    Internal::Scope<Interval> rows;
    rows.push(roles.query, Interval(low_corner(roles.query), high_corner(roles.query)));
    const Interval range = bounds_of_expr_in_scope(simplify(e), rows);
    if (greatest ? !range.has_upper_bound() : !range.has_lower_bound()) {
        return Expr();
    }
    return simplified(greatest ? range.max : range.min);
}

/** Every key between the least lower and the greatest upper bound is live for some
 * row: the row whose bounds reach furthest meets all of them, or both ends move
 * along together. */
bool Solver::is_contiguous(const Constraints &c) const {
    bool rising = false, falling = false;
    std::vector<Expr> moving_lowers, moving_uppers;
    for (const bool upper : {true, false}) {
        for (const Expr &e : upper ? c.uppers : c.lowers) {
            if (!uses(e, roles.query)) {
                continue;
            }
            const Monotonic direction = is_monotonic(e, roles.query);
            rising = rising || direction == Monotonic::Increasing;
            falling = falling || direction == Monotonic::Decreasing;
            if (direction == Monotonic::Unknown || direction == Monotonic::Constant) {
                return false;
            }
            (upper ? moving_uppers : moving_lowers).push_back(e);
        }
    }
    const bool rows_matter =
        std::any_of(c.rows.begin(), c.rows.end(), [&](const Expr &e) { return uses(e, roles.query); });
    if (!c.exact || rows_matter || (rising && falling)) {
        return false;
    }
    for (const Expr &u : moving_uppers) {
        for (const Expr &l : moving_lowers) {
            if (uses(simplify(u - l), roles.query)) {
                return false;
            }
        }
    }
    return true;
}

void Solver::fill(MaskVerdict &verdict) const {
    const Constraints c = solve(verdict.guard, false);
    const Axis &stream = graph.axis(roles.stream);
    std::vector<Expr> begins, ends;
    bool complete = true;
    for (const Expr &l : c.lowers) {
        const Expr least = extreme(l, false);
        complete = complete && least.defined();
        if (least.defined()) {
            begins.push_back(least);
        }
    }
    for (const Expr &u : c.uppers) {
        const Expr greatest = extreme(u, true);
        complete = complete && greatest.defined();
        if (greatest.defined()) {
            ends.push_back(greatest + 1);
        }
    }
    TileTruth truth(graph, roles);
    for (const Expr &r : c.rows) {
        const Expr none = truth.of(r).none;
        if (is_const_zero(none)) {
            complete = false;
        } else {
            ends.push_back(select(none, stream.min, stream.min + stream.extent));
        }
    }
    if (!begins.empty()) {
        verdict.begin = simplified(fold(begins, true));
    }
    if (!ends.empty()) {
        verdict.end = simplified(fold(ends, false));
    }
    verdict.contiguous = complete && is_contiguous(c);
}

}  // namespace

void solve_live_range(const ReductionGraph &graph, const Roles &roles, MaskVerdict &verdict) {
    Solver(graph, roles).fill(verdict);
}

}  // namespace strobe
