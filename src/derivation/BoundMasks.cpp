#include "BoundMasks.h"

#include "Expressions.h"
#include "LiveRange.h"
#include "TileTruth.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

std::string describe(const Roles &roles, const MaskVerdict &v) {
    std::string text = text_of(v.guard) + ": ";
    if (v.begin.defined() || v.end.defined()) {
        text += roles.stream + " from " + (v.begin.defined() ? text_of(v.begin) : "its start") + " to before " +
                (v.end.defined() ? text_of(v.end) : "its end") + (v.contiguous ? ", without gaps; " : "; ");
    }
    if (is_const_zero(v.dead) && is_const_zero(v.full)) {
        return text + "nothing is known of a tile as a whole, so each element is asked";
    }
    text += v.contiguous ? "" : "a tile is dead if " + text_of(v.dead) + ", ";
    text += (v.contiguous ? "a tile is full if " : "full if ") + text_of(v.full);
    for (const Summary &s : v.summaries) {
        text += "; " + s.name + " bounds " + text_of(s.load) + " over a tile of " + s.axis;
    }
    return text;
}

/** Sums and multiples of positions: what costs an element next to nothing to compare. */
bool is_position(const Expr &e) {
    const Add *sum = e.as<Add>();
    const Sub *difference = e.as<Sub>();
    const Mul *product = e.as<Mul>();
    return sum          ? is_position(sum->a) && is_position(sum->b)
           : difference ? is_position(difference->a) && is_position(difference->b)
           : product    ? is_position(product->a) && is_const(product->b)
                        : e.as<Variable>() || is_const(e);
}

/** |x| <= r of positions as x <= r and -x <= r: few tiles meet both edges of a window. */
std::vector<Expr> sides_of(const Expr &condition) {
    const LE *op = condition.as<LE>();
    const LT *less = condition.as<LT>();
    const Expr distance = op ? op->a : less ? less->a : Expr(), reach = op ? op->b : less ? less->b : Expr();
    const Call *call = distance.defined() ? strip_casts(distance).as<Call>() : nullptr;
    const bool splits = call && call->is_intrinsic(Call::abs) && distance.type() == Int(32) &&
                        call->args[0].type() == Int(32) && is_position(call->args[0]);
    if (!splits) {
        return {condition};
    }
    const Expr x = call->args[0];
    return op ? std::vector<Expr>{x <= reach, -x <= reach} : std::vector<Expr>{x < reach, -x < reach};
}

bool uses(const Expr &e, const Summary &s) {
    return expr_uses_var(e, s.name + ".min") || expr_uses_var(e, s.name + ".max");
}

}  // namespace

MaskVerdict bound_mask(const ReductionGraph &graph, const Roles &roles, const Expr &guard) {
    MaskVerdict verdict;
    verdict.guard = guard;
    TileTruth tile(graph, roles);
    const Truth truth = tile.of(guard);
    verdict.dead = truth.none;
    verdict.full = truth.all;
    std::vector<Expr> verdicts = {verdict.dead, verdict.full};
    for (const Expr &condition : conjuncts(guard)) {
        for (const Expr &side : sides_of(condition)) {
            verdict.parts.push_back({side, tile.of(side).all});
            verdicts.push_back(verdict.parts.back().full);
        }
    }
    for (const Summary &s : tile.summaries) {
        if (std::any_of(verdicts.begin(), verdicts.end(), [&](const Expr &e) { return uses(e, s); })) {
            verdict.summaries.push_back(s);
        }
    }
    solve_live_range(graph, roles, verdict);
    verdict.text = describe(roles, verdict);
    return verdict;
}

}  // namespace strobe
