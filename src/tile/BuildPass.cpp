#include "BuildPass.h"

#include "support/Error.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Where a running maximum starts: finite, so that exp(-inf - bottom) is 0 and a
 * row without any live element yields no NaN. */
const double bottom = -1e30;

Expr minus_infinity(Type t) {
    return identity_of(ReduceOp::Max, t);
}

/** The plan's mask, with the tail of the stream added and the choices applied. */
MaskVerdict tile_mask(const TileBuilder &b, const MaskVerdict &derived) {
    const Axis &stream = b.program.stream;
    const int tile = b.program.stream_tile;
    MaskVerdict mask = derived;
    if (!mask.guard.defined() || !mask.full.defined()) {
        mask.full = mask.guard.defined() ? const_false() : const_true();
    }
    if (!mask.dead.defined()) {
        mask.dead = const_false();
    }
    if (!can_prove(stream.extent % tile == 0)) {
        const Expr end = simplify(stream.min + stream.extent);
        const Expr inside = Variable::make(Int(32), stream.name) < end;
        const Expr whole = Variable::make(Int(32), stream.name + ".lo") + (tile - 1) < end;
        mask.guard = mask.guard.defined() ? mask.guard && inside : inside;
        mask.full = is_const_one(mask.full) ? whole : mask.full && whole;
    }
    if (!b.choices.skip_dead) {
        mask.dead = const_false();
        mask.begin = mask.end = Expr();
        mask.contiguous = true;
    }
    if (!b.choices.specialize_full && mask.guard.defined()) {
        mask.full = const_false();
    }
    return mask;
}

class PassBuilder {
    TileBuilder &b;
    const Pass &plan;
    const size_t first_pivot, first_moment;  // of this pass, for the names of its values
    const std::string query, stream;
    /** Per pivot: its weights; its next value and the factor that moves the old state
     * to it, "" for a constant one. */
    std::vector<std::string> weights, next, rescale;

    struct Term {
        Expr value;
        bool masked;
        Expr own_guard;
        ReduceOp op;
        std::string tile;
    };
    std::vector<Term> terms;

    std::string numbered(const std::string &base, size_t i) {
        return b.unique(base + std::to_string(i));
    }

    /** Where the pass' mask holds, this guard may still not. */
    bool narrower(const Expr &guard) const {
        return guard.defined() && !graph_equal(guard, plan.mask.guard);
    }

    void add_pivot(const Pivot &p, size_t k);
    void add_moment(const Moment &m, size_t k);
    std::string term_tile(const Moment &m, const Expr &elementwise, size_t k);
    std::string operand_tile(const Moment &m, const std::string &feature, const std::vector<Expr> &factors);
    Type operand_type(const Moment &m, const std::string &feature, Type value_type) const;
    void update_reduced(const Moment &m, const std::string &term, size_t k);
    std::string feature_of(const Moment &m) const;
    bool feeds_narrow_operand(size_t pivot) const;
    [[noreturn]] void refuse(const Moment &m, const std::string &reason) const;

public:
    PassBuilder(TileBuilder &builder, size_t index)
        : b(builder), plan(builder.plan.passes[index]), first_pivot(count_before(index, &Pass::pivots)),
          first_moment(count_before(index, &Pass::moments)), query(builder.program.query.name),
          stream(builder.program.stream.name) {
    }

    template<typename T>
    size_t count_before(size_t index, std::vector<T> Pass::*list) const {
        size_t count = 0;
        for (size_t i = 0; i < index; i++) {
            count += (b.plan.passes[i].*list).size();
        }
        return count;
    }

    void build();
};

void PassBuilder::build() {
    b.pass().mask = tile_mask(b, plan.mask);
    b.compute_inner(b.pass().mask.guard);
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        add_pivot(plan.pivots[i], first_pivot + i);
    }
    for (size_t i = 0; i < plan.moments.size(); i++) {
        add_moment(plan.moments[i], first_moment + i);
    }
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (!rescale[i].empty()) {
            b.step(map_op(plan.pivots[i].name, b.ref(next[i])));
        }
    }
    for (const Readout &r : plan.readouts) {
        const Expr value = b.with_constant_pivots(r.value);
        b.declare(r.name, value.type(), b.tile_axes_in(value));
        b.pass().epilogue.push_back(map_op(r.name, value));
    }
}

void PassBuilder::add_pivot(const Pivot &p, size_t k) {
    Expr exponent = p.exponent;
    if (exponent.type().bits() < 32) {
        exponent = cast<float>(exponent);
    }
    const Type t = exponent.type();
    b.compute_inner(exponent);
    const std::string e = b.declare(numbered("%e", k), t, {query, stream});
    const std::string w = numbered("%w", k);
    weights.push_back(w);
    b.compute_inner(p.guard);
    b.step(map_op(e, narrower(p.guard) ? select(p.guard, exponent, minus_infinity(t)) : exponent));
    if (const Expr guard = b.pass().mask.guard; guard.defined()) {
        b.step(map_op(e, select(guard, b.ref(e), minus_infinity(t)), TileOp::When::Partial));
    }
    if (p.policy == Pivot::Policy::Constant && !feeds_narrow_operand(k - first_pivot)) {
        b.constant_pivots[p.name] = p.constant;
        next.push_back("");
        rescale.push_back("");
        b.declare(w, t, {query, stream});
        b.step(map_op(w, exp(b.ref(e) - cast(t, p.constant))));
        return;
    }
    b.declare(p.name, t, {query});
    b.pass().prologue.push_back(fill_op(p.name, make_const(t, bottom)));
    const std::string top = b.declare(numbered("%t", k), t, {query});
    const std::string n = b.declare(numbered("%n", k), t, {query});
    next.push_back(n);
    const std::string r = b.declare(numbered("%r", k), t, {query});
    rescale.push_back(r);
    b.declare(w, t, {query, stream});
    const Expr pivot = b.ref(p.name), raised = max(pivot, b.ref(top));
    b.step(reduce_op(top, ReduceOp::Max, stream, b.ref(e)));
    if (b.choices.rescale_bits > 0) {
        const Expr slack = make_const(t, b.choices.rescale_bits * std::log(2.0));
        b.step(map_op(n, select(b.ref(top) - pivot > slack, raised, pivot)));
    } else {
        b.step(map_op(n, raised));
    }
    b.step(map_op(r, exp(pivot - b.ref(n))));
    b.step(map_op(w, exp(b.ref(e) - b.ref(n))));
}

void PassBuilder::refuse(const Moment &m, const std::string &reason) const {
    std::string func;
    for (const Output &o : b.plan.outputs) {
        if (expr_uses_var(o.value, m.name)) {
            func = o.name;
        }
    }
    strobe_user_error() << "In algorithm for " << (func.empty() ? m.name : func) << ": can't compute the "
                        << name_of(m.op) << " of " << m.factor << " tile by tile, because " << reason
                        << ". Supported: a sum of weights over (" << query << ", " << stream
                        << "), each times one input element indexed by " << stream << " and one feature axis.";
}

/** The tile whose rows are reduced, or contracted with an operand: weights times
 * what is elementwise, masked where the weights alone do not do that. */
std::string PassBuilder::term_tile(const Moment &m, const Expr &elementwise, size_t k) {
    const MaskVerdict &mask = b.pass().mask;
    Expr value;
    if (m.pivot >= 0) {
        value = cast(m.type, b.ref(weights[m.pivot]));
    }
    if (elementwise.defined()) {
        b.compute_inner(elementwise);
        const Expr factor = cast(m.type, elementwise);
        value = value.defined() ? value * factor : factor;
    }
    if (!value.defined()) {
        value = make_one(m.type);
    }
    // A weight of 0 masks nothing but itself: another factor may be infinite or NaN there.
    const bool weights_mask = m.pivot >= 0 && m.op == ReduceOp::Sum && !elementwise.defined() &&
                              (!narrower(m.guard) || graph_equal(m.guard, plan.pivots[m.pivot].guard));
    Term term{value, mask.guard.defined() && !weights_mask, Expr(), m.op, ""};
    if (!weights_mask && narrower(m.guard)) {
        term.own_guard = m.guard;
    }
    if (value.as<Variable>() && !term.masked && !term.own_guard.defined()) {
        return value.as<Variable>()->name;
    }
    for (const Term &t : terms) {
        if (graph_equal(t.value, value) && t.masked == term.masked && t.op == term.op &&
            graph_equal(t.own_guard, term.own_guard)) {
            return t.tile;
        }
    }
    const Expr identity = identity_of(m.op, m.type);
    term.tile = b.declare(numbered("%x", k), m.type, {query, stream});
    b.compute_inner(term.own_guard);
    b.step(map_op(term.tile, term.own_guard.defined() ? select(term.own_guard, value, identity) : value));
    if (term.masked) {
        b.step(map_op(term.tile, select(mask.guard, b.ref(term.tile), identity), TileOp::When::Partial));
    }
    terms.push_back(term);
    return term.tile;
}

std::string PassBuilder::operand_tile(const Moment &m, const std::string &feature, const std::vector<Expr> &factors) {
    const Call *call = factors.size() == 1 ? plain_load(factors[0]) : nullptr;
    if (!call || b.tile_axes_in(factors[0]) != std::set<std::string>{stream, feature}) {
        std::ostringstream text;
        text << product_of(factors) << " is not one input element over (" << stream << ", " << feature << ")";
        refuse(m, text.str());
    }
    return b.load(call);
}

/** What the schedule asks for under the name of an output or reduction that this
 * moment is part of; else the value operand's own type if that is narrow, which
 * rounds the weights as every flash kernel does. */
Type PassBuilder::operand_type(const Moment &m, const std::string &feature, Type value_type) const {
    std::vector<std::string> funcs = {m.name.substr(1)};
    for (const Readout &r : plan.readouts) {
        if (expr_uses_var(r.value, m.name)) {
            funcs.push_back(r.name.substr(1));
        }
    }
    for (const Output &o : b.plan.outputs) {
        if (expr_uses_var(o.value, m.name)) {
            funcs.push_back(o.name);
        }
    }
    for (const Reduction &r : b.graph.reductions) {
        if (std::count(r.axes.begin(), r.axes.end(), feature) && !std::count(r.axes.begin(), r.axes.end(), stream)) {
            funcs.push_back(r.name);
        }
    }
    return b.operand_type(funcs, is_narrow_float(value_type) ? value_type : m.type);
}

void PassBuilder::update_reduced(const Moment &m, const std::string &term, size_t k) {
    const std::string d = b.declare(numbered("%d", k), m.type, {query});
    b.step(reduce_op(d, m.op, stream, b.ref(term)));
    Expr old = b.ref(m.name);
    if (m.pivot >= 0 && !rescale[m.pivot].empty()) {
        const Expr scaled = old * cast(m.type, b.ref(rescale[m.pivot]));
        const Expr identity = identity_of(m.op, m.type);
        old = m.op == ReduceOp::Sum ? scaled : select(old == identity, identity, scaled);
    }
    b.step(map_op(m.name, combine(m.op, old, b.ref(d))));
}

/** The feature axis of a moment's factor; "" if it has none. */
std::string PassBuilder::feature_of(const Moment &m) const {
    std::string feature;
    for (const std::string &a : b.tile_axes_in(m.factor)) {
        if (b.is_feature(a)) {
            if (!feature.empty()) {
                refuse(m, "it has two feature axes, " + feature + " and " + a);
            }
            feature = a;
        }
    }
    return feature;
}

/** Weights that are rounded for a contraction need a running maximum: under it the
 * largest is 1, which rounding keeps. Under a constant pivot a lone weight is any
 * number, rounded in the product but not in the sum that should cancel it, and in
 * float16 all may vanish. */
bool PassBuilder::feeds_narrow_operand(size_t pivot) const {
    for (const Moment &m : plan.moments) {
        if (m.pivot != (int)pivot || feature_of(m).empty()) {
            continue;
        }
        const std::string feature = feature_of(m);
        const SplitProduct product = split_product(m.factor, feature, [&](const Expr &e) { return b.axes_in(e); });
        const Call *value = product.with.size() == 1 ? plain_load(product.with[0]) : nullptr;
        if (is_narrow_float(operand_type(m, feature, value ? value->type : m.type))) {
            return true;
        }
    }
    return false;
}

void PassBuilder::add_moment(const Moment &m, size_t k) {
    const std::string feature = feature_of(m);
    const Expr identity = identity_of(m.op, m.type);
    if (feature.empty()) {
        const std::string term = term_tile(m, m.factor, k);
        b.declare(m.name, m.type, {query});
        b.pass().prologue.push_back(fill_op(m.name, identity));
        update_reduced(m, term, k);
        return;
    }
    if (m.op != ReduceOp::Sum) {
        refuse(m, "a contraction with a feature axis can only be a sum");
    }
    const SplitProduct product = split_product(m.factor, feature, [&](const Expr &e) { return b.axes_in(e); });
    const std::string operand = operand_tile(m, feature, product.with);
    const std::string term = term_tile(m, product_of(product.without), k);
    b.declare(m.name, m.type, {query, feature});
    b.pass().prologue.push_back(fill_op(m.name, identity));
    if (m.pivot >= 0 && !rescale[m.pivot].empty()) {
        b.step(map_op(m.name, b.ref(m.name) * cast(m.type, b.ref(rescale[m.pivot]))));
    }
    const Type type = operand_type(m, feature, b.program.value(operand).type);
    b.step(contract_op(m.name, stream, term, operand, type, true));
}

}  // namespace

void build_pass(TileBuilder &builder, size_t index) {
    PassBuilder(builder, index).build();
}

}  // namespace strobe
