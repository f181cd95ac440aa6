#include "PassBuilder.h"
#include "support/Error.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

/** The moment of degree 0 beside one of degree 1. */
std::string PassBuilder::lower_degree(const Moment &m) const {
    for (const Moment &o : plan.moments) {
        if (o.degree == 0 && o.op == m.op && o.type == m.type && o.pivot == m.pivot && graph_equal(o.guard, m.guard) &&
            graph_equal(o.factor, m.factor)) {
            return o.name;
        }
    }
    strobe_internal_error() << m.name << " of degree 1 lacks its moment of degree 0";
}

/** A moment of the tiles before, relative to the next pivot. */
Expr PassBuilder::rescaled(const Moment &m, const std::string &name) const {
    if (m.pivot < 0 || weights[m.pivot].rescale.empty()) {
        return b.ref(name);
    }
    const Weights &w = weights[m.pivot];
    const Expr lower = m.degree > 0 ? b.ref(b.declare(lower_degree(m), m.type, {query})) : Expr();
    return moved(m, b.ref(name), lower, b.ref(plan.pivots[m.pivot].name), b.ref(w.next), b.ref(w.rescale));
}

/** A moment relative to another pivot: \p factor is exp(from - to), \p lower the moment of
 * degree 0 beside one of degree 1. */
Expr PassBuilder::moved(const Moment &m, const Expr &old, const Expr &lower, const Expr &from, const Expr &to,
                        const Expr &factor) const {
    if (m.degree > 0) {
        // Where the pivots lie further apart than this, nothing is left of the old state: no infinity may be.
        const Expr distance = max(from - to, make_const(old.type(), -1e30));
        return (old + cast(m.type, distance) * lower) * cast(m.type, factor);
    }
    const Expr scaled = old * cast(m.type, factor), identity = identity_of(m.op, m.type);
    return m.op == ReduceOp::Sum ? scaled : select(old == identity, identity, scaled);
}

/** The greater pivots, and the factors that move both states to them. */
std::vector<PassBuilder::Move> PassBuilder::merge_pivots() {
    StreamPass &pass = b.pass();
    std::vector<Move> moves(plan.pivots.size());
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (weights[i].next.empty()) {
            continue;
        }
        const std::string &p = plan.pivots[i].name;
        const Type t = b.program.value(p).type;
        const std::set<std::string> axes = b.tile_axes_in(b.ref(p));
        pass.state.push_back(p);
        const Expr other = b.ref(b.declare(other_part(p), t, axes));
        Move &m = moves[i];
        m.next = b.declare(b.unique(p + ".greater"), t, axes);
        m.own = b.declare(b.unique(p + ".own"), t, axes);
        m.other = b.declare(b.unique(p + ".others"), t, axes);
        pass.merge.push_back(map_op(m.next, max(b.ref(p), other)));
        pass.merge.push_back(map_op(m.own, exp(b.ref(p) - b.ref(m.next))));
        pass.merge.push_back(map_op(m.other, exp(other - b.ref(m.next))));
    }
    return moves;
}

/** The merge of two partial states: both are moved to the greater pivot, and added up. */
void PassBuilder::merge_parts() {
    StreamPass &pass = b.pass();
    strobe_user_assert(!b.walks_all) << "In schedule for " << b.plan.outputs.front().name << ": can't split(" << stream
                                     << "): a running sum needs the tiles of " << stream
                                     << " in order. Leave split out.";
    const auto other = [&](const std::string &name) { return b.ref(other_part(name)); };
    const std::vector<Move> moves = merge_pivots();
    for (const State &s : states) {
        pass.state.push_back(s.name);
        b.declare(other_part(s.name), s.moment->type, s.axes);
    }
    for (Mean &m : means) {  // as they are before anything is added up
        const Expr weight = b.ref(m.weight->name), weighted = b.ref(m.weighted->name);
        pass.merge.push_back(map_op(m.before, Around().mean(weight, weighted)));
        pass.merge.push_back(map_op(m.weight_before, weight));
    }
    for (const State &s : states) {
        const Moment &m = *s.moment;
        if (m.around.value.defined()) {
            continue;
        }
        Expr own = b.ref(s.name), others = other(s.name);
        if (m.pivot >= 0 && !moves[m.pivot].next.empty()) {
            const Move &move = moves[m.pivot];
            const std::string &p = plan.pivots[m.pivot].name;
            const std::string lower = m.degree > 0 ? lower_degree(m) : s.name;
            own = moved(m, own, b.ref(lower), b.ref(p), b.ref(move.next), b.ref(move.own));
            others = moved(m, others, other(lower), other(p), b.ref(move.next), b.ref(move.other));
        }
        pass.merge.push_back(map_op(s.name, combine(m.op, own, others)));
    }
    merge_around(moves);
    merge_selections();
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (!moves[i].next.empty()) {
            pass.merge.push_back(map_op(plan.pivots[i].name, b.ref(moves[i].next)));
        }
    }
}

}  // namespace strobe
