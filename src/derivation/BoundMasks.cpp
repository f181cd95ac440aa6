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
        verdict.parts.push_back({condition, tile.of(condition).all});
        verdicts.push_back(verdict.parts.back().full);
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
