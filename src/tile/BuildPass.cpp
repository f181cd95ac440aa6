#include "BuildPass.h"

#include "OperandTiles.h"
#include "PassBuilder.h"
#include "TileMask.h"

#include <cmath>
#include <limits>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Where a running maximum starts: finite, so that exp(-inf - bottom) is 0 and a row
 * without any live element yields no NaN; and no score lies between it and -inf. */
Expr bottom(Type t) {
    return make_const(t, t.bits() == 64 ? std::numeric_limits<double>::lowest() : std::numeric_limits<float>::lowest());
}

Expr minus_infinity(Type t) {
    return identity_of(ReduceOp::Max, t);
}

}  // namespace

void PassBuilder::build() {
    b.pass().mask = tile_mask(b, plan.mask);
    if (b.choices.exchange) {
        start_ahead();
        if (b.plan.second->whole) {
            return;
        }
    }
    b.compute_inner(b.pass().mask.guard);
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        add_pivot(plan.pivots[i], first_pivot + i);
    }
    for (size_t i = 0; i < plan.selections.size(); i++) {
        add_selection(plan.selections[i], int(i));
    }
    save_means();
    for (size_t i = 0; i < plan.moments.size(); i++) {
        add_moment(plan.moments[i], first_moment + i);
    }
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (!weights[i].next.empty()) {
            b.step(map_op(plan.pivots[i].name, b.ref(weights[i].next)));
        }
    }
    if (b.walks_all) {
        MaskVerdict &mask = b.pass().mask;
        mask.dead = const_false();
        mask.begin = Expr();
        mask.contiguous = true;
    }
    if (b.choices.parts > 1) {
        merge_parts();
    }
    for (const Readout &r : plan.readouts) {
        const Expr value = b.with_values(r.value);
        b.declare(r.name, value.type(), b.tile_axes_in(value));
        b.pass().epilogue.push_back(map_op(r.name, value));
    }
}

std::set<std::string> PassBuilder::features_in(const Expr &e) const {
    std::set<std::string> features;
    for (const std::string &a : b.tile_axes_in(e)) {
        if (b.is_feature(a)) {
            features.insert(a);
        }
    }
    return features;
}

std::set<std::string> PassBuilder::features_of(const Moment &m) const {
    std::set<std::string> features = features_in(m.factor);
    if (m.pivot >= 0) {
        const std::set<std::string> more = features_in(plan.pivots[m.pivot].exponent);
        features.insert(more.begin(), more.end());
    }
    return features;
}

void PassBuilder::add_pivot(const Pivot &p, size_t k) {
    Expr exponent = p.exponent;
    if (exponent.type().bits() < 32) {
        exponent = cast<float>(exponent);
    }
    if (const std::set<std::string> features = features_in(exponent); !features.empty()) {
        add_feature_weights(p, features, k);
        return;
    }
    const Type t = exponent.type();
    b.compute_inner(exponent);
    const std::string e = b.declare(numbered("%e", k), t, {query, stream});
    b.compute_inner(p.guard);
    b.step(map_op(e, narrower(p.guard) ? select(p.guard, exponent, minus_infinity(t)) : exponent));
    if (const Expr guard = b.pass().mask.guard; guard.defined()) {
        b.step(map_op(e, select(guard, b.ref(e), minus_infinity(t)), TileOp::When::Partial));
    }
    add_weights(p, e, k);
}

/** The weights of an exponent tile, as a tile. */
void PassBuilder::add_weights(const Pivot &p, const std::string &e, size_t k) {
    const Type t = b.program.value(e).type;
    const std::string w = numbered("%w", k);
    Weights result;
    if (p.policy == Pivot::Policy::Constant && !feeds_narrow_operand(k - first_pivot)) {
        b.computed_otherwise[p.name] = p.constant;
        b.declare(w, t, {query, stream});
        result.exponent = b.ref(e) - cast(t, p.constant);
    } else {
        raise_pivot(p, b.ref(e), {query}, k, result);
        b.declare(w, t, {query, stream});
        result.exponent = b.ref(e) - b.ref(result.next);
    }
    b.step(map_op(w, exp(result.exponent)));
    result.value = b.ref(w);
    weights.push_back(result);
}

/** An exponent that depends on features too has no tile: it is computed where it is used. */
void PassBuilder::add_feature_weights(const Pivot &p, const std::set<std::string> &features, size_t k) {
    Expr e = over_loaded_tiles(b, p.exponent.type().bits() < 32 ? cast<float>(p.exponent) : p.exponent);
    const Type t = e.type();
    std::vector<Expr> guards = {b.pass().mask.guard};
    if (narrower(p.guard)) {
        b.compute_inner(p.guard);
        guards.push_back(p.guard);
    }
    for (const Expr &guard : guards) {
        e = guard.defined() ? select(guard, e, minus_infinity(t)) : e;
    }
    Weights result;
    if (p.policy == Pivot::Policy::Constant) {
        b.computed_otherwise[p.name] = p.constant;
        result.exponent = e - cast(t, p.constant);
    } else {
        std::set<std::string> axes = features;
        axes.insert(query);
        raise_pivot(p, e, axes, k, result);
        result.exponent = e - b.ref(result.next);
    }
    result.value = exp(result.exponent);
    weights.push_back(result);
}

/** The running maximum of an exponent, and the factor that moves the state to it. */
void PassBuilder::raise_pivot(const Pivot &p, const Expr &exponent, const std::set<std::string> &axes, size_t k,
                              Weights &w) {
    const Type t = exponent.type();
    b.declare(p.name, t, axes);
    b.pass().prologue.push_back(fill_op(p.name, bottom(t)));
    const std::string top = b.declare(numbered("%t", k), t, axes);
    w.next = b.declare(numbered("%n", k), t, axes);
    w.rescale = b.declare(numbered("%r", k), t, axes);
    const Expr pivot = b.ref(p.name), raised = max(pivot, b.ref(top));
    b.step(reduce_op(top, ReduceOp::Max, stream, exponent));
    if (b.choices.rescale_bits > 0) {
        const Expr slack = make_const(t, b.choices.rescale_bits * std::log(2.0));
        b.step(map_op(w.next, select(b.ref(top) - pivot > slack, raised, pivot)));
    } else {
        b.step(map_op(w.next, raised));
    }
    b.step(map_op(w.rescale, exp(pivot - b.ref(w.next))));
}

void build_pass(TileBuilder &builder, size_t index) {
    PassBuilder(builder, index).build();
}

}  // namespace strobe
