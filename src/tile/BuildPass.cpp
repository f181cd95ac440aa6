#include "BuildPass.h"

#include "OperandTiles.h"
#include "support/Error.h"

#include <algorithm>
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

/** Elements of a further feature axis that become tiles of their own. */
const int few_features = 16;

/** What the weights of a pivot are in Exprs of the step. */
struct Weights {
    Expr value;           // exp(exponent - pivot): a tile, or an Expr where features are in it
    Expr exponent;        // exponent - pivot
    std::string next;     // the pivot's next value, and the factor that moves
    std::string rescale;  // the old state to it; "" for a constant pivot
};

/** The type of the one input element that the product of \p factors is, else \p otherwise. */
Type stored_type(const std::vector<Expr> &factors, Type otherwise) {
    const Call *call = factors.size() == 1 ? plain_load(factors[0]) : nullptr;
    return call ? call->type : otherwise;
}

class PassBuilder {
    TileBuilder &b;
    const Pass &plan;
    const size_t first_pivot, first_moment;  // of this pass, for the names of its values
    const std::string query, stream;
    std::vector<Weights> weights;  // of each pivot

    struct Term {
        Expr value;
        bool masked;
        Expr own_guard;
        ReduceOp op;
        std::string tile;
    };
    std::vector<Term> terms;

    /** A value that the walk carries for a moment. */
    struct State {
        const Moment *moment;
        std::string name;
        std::set<std::string> axes;
    };
    std::vector<State> states;

    std::string numbered(const std::string &base, size_t i) {
        return b.unique(base + std::to_string(i));
    }

    /** Where the pass' mask holds, this guard may still not. */
    bool narrower(const Expr &guard) const {
        return guard.defined() && !graph_equal(guard, plan.mask.guard);
    }

    void add_pivot(const Pivot &p, size_t k);
    void add_weights(const Pivot &p, const std::string &e, size_t k);
    void add_feature_weights(const Pivot &p, const std::set<std::string> &features, size_t k);
    void raise_pivot(const Pivot &p, const Expr &exponent, const std::set<std::string> &axes, size_t k, Weights &w);
    void add_moment(const Moment &m, size_t k);
    void add_row_moment(const Moment &m, size_t k);
    void add_feature_moment(const Moment &m, const std::string &name, const std::string &feature, const Expr &factor,
                            size_t k);
    void reduce_feature_moment(const Moment &m, const std::string &name, const std::set<std::string> &axes,
                               const Expr &factor, size_t k);
    std::string term_tile(const Moment &m, const Expr &elementwise, size_t k);
    std::string value_tile(const Moment &m, const std::string &feature, const std::vector<Expr> &factors, Type type);
    Type operand_type(const Moment &m, const std::string &feature, Type value_type) const;
    void update_reduced(const Moment &m, const std::string &name, const std::set<std::string> &axes, const Expr &term,
                        size_t k);
    Expr rescaled(const Moment &m, const std::string &name) const;
    Expr moved(const Moment &m, const Expr &old, const Expr &lower, const Expr &from, const Expr &to,
               const Expr &factor) const;
    void merge_parts();
    std::string lower_degree(const Moment &m) const;
    std::set<std::string> features_in(const Expr &e) const;
    std::set<std::string> features_of(const Moment &m) const;
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

void PassBuilder::refuse(const Moment &m, const std::string &reason) const {
    std::string func;
    for (const Output &o : b.plan.outputs) {
        if (expr_uses_var(o.value, m.name)) {
            func = o.name;
        }
    }
    strobe_user_error() << "In algorithm for " << (func.empty() ? m.name : func) << ": can't compute the "
                        << name_of(m.op) << " of " << m.factor << " tile by tile, because " << reason
                        << ". Supported: any reduction over " << stream << " of what depends on " << query << ", "
                        << stream << ", one feature axis of any length and others of " << few_features
                        << " elements together.";
}

/** The tile whose rows are reduced, or contracted with an operand: weights times
 * what is elementwise, masked where the weights alone do not do that. */
std::string PassBuilder::term_tile(const Moment &m, const Expr &elementwise, size_t k) {
    const MaskVerdict &mask = b.pass().mask;
    Expr value;
    if (m.pivot >= 0) {
        value = cast(m.type, weights[m.pivot].value);
    }
    if (elementwise.defined()) {
        b.compute_inner(elementwise);
        const Expr factor = cast(m.type, elementwise);
        value = value.defined() ? value * factor : factor;
    }
    if (m.degree > 0) {
        value = value * cast(m.type, weights[m.pivot].exponent);
    }
    if (!value.defined()) {
        value = make_one(m.type);
    }
    // A weight of 0 masks nothing but itself: another factor may be infinite or NaN there.
    const bool weights_mask = m.pivot >= 0 && m.op == ReduceOp::Sum && !elementwise.defined() && m.degree == 0 &&
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

/** The second operand of a contraction over the stream. What is computed beyond the
 * stream's end may be anything, and 0 times anything need not be 0. */
std::string PassBuilder::value_tile(const Moment &m, const std::string &feature, const std::vector<Expr> &factors,
                                    Type type) {
    const std::set<std::string> axes = {stream, feature};
    if (factors.size() == 1 && plain_load(factors[0]) && b.tile_axes_in(factors[0]) == axes) {
        return b.load(plain_load(factors[0]));
    }
    Expr value = product_of(factors);
    if (b.pass().mask.guard.defined()) {
        const Expr end = simplify(b.program.stream.min + b.program.stream.extent);
        value = select(Variable::make(Int(32), stream) < end, value, make_zero(value.type()));
    }
    return operand_tile(b, {value}, axes, type, m.name.substr(1) + ".values");
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

/** The merge of two partial states: both are moved to the greater pivot, and added up. */
void PassBuilder::merge_parts() {
    StreamPass &pass = b.pass();
    strobe_user_assert(!b.walks_all) << "In schedule for " << b.plan.outputs.front().name << ": can't split(" << stream
                                     << "): a running sum needs the tiles of " << stream << " in order.";
    const auto other = [&](const std::string &name) { return b.ref(other_part(name)); };
    const auto carry = [&](const std::string &name, Type type, const std::set<std::string> &axes) {
        pass.state.push_back(name);
        b.declare(other_part(name), type, axes);
    };
    struct Move {
        std::string next, own, other;  // pivot, and the factors that move the two states to it
    };
    std::vector<Move> moves(plan.pivots.size());
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (weights[i].next.empty()) {
            continue;
        }
        const std::string &p = plan.pivots[i].name;
        const Type t = b.program.value(p).type;
        const std::set<std::string> axes = b.tile_axes_in(b.ref(p));
        carry(p, t, axes);
        Move &m = moves[i];
        m.next = b.declare(b.unique(p + ".greater"), t, axes);
        m.own = b.declare(b.unique(p + ".own"), t, axes);
        m.other = b.declare(b.unique(p + ".others"), t, axes);
        pass.merge.push_back(map_op(m.next, max(b.ref(p), other(p))));
        pass.merge.push_back(map_op(m.own, exp(b.ref(p) - b.ref(m.next))));
        pass.merge.push_back(map_op(m.other, exp(other(p) - b.ref(m.next))));
    }
    for (const State &s : states) {
        carry(s.name, s.moment->type, s.axes);
    }
    for (const State &s : states) {
        const Moment &m = *s.moment;
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
    for (size_t i = 0; i < plan.pivots.size(); i++) {
        if (!moves[i].next.empty()) {
            pass.merge.push_back(map_op(plan.pivots[i].name, b.ref(moves[i].next)));
        }
    }
}

/** name = name (op) the reduction of a term over this tile. */
void PassBuilder::update_reduced(const Moment &m, const std::string &name, const std::set<std::string> &axes,
                                 const Expr &term, size_t k) {
    const std::string d = b.declare(numbered("%d", k), m.type, axes);
    b.step(reduce_op(d, m.op, stream, term));
    b.step(map_op(name, combine(m.op, rescaled(m, name), b.ref(d))));
}

/** Weights that are rounded for a contraction need a running maximum: under it the
 * largest is 1, which rounding keeps. Under a constant pivot a lone weight is any
 * number, rounded in the product but not in the sum that should cancel it, and in
 * float16 all may vanish. */
bool PassBuilder::feeds_narrow_operand(size_t pivot) const {
    for (const Moment &m : plan.moments) {
        const std::set<std::string> features = features_in(m.factor);
        if (m.pivot != (int)pivot || features.empty()) {
            continue;
        }
        for (const std::string &feature : features) {
            const SplitProduct product = split_product(m.factor, feature, [&](const Expr &e) { return b.axes_in(e); });
            if (is_narrow_float(operand_type(m, feature, stored_type(product.with, m.type)))) {
                return true;
            }
        }
    }
    return false;
}

void PassBuilder::add_row_moment(const Moment &m, size_t k) {
    const std::string term = term_tile(m, m.factor, k);
    b.declare(m.name, m.type, {query});
    states.push_back({&m, m.name, {query}});
    b.pass().prologue.push_back(fill_op(m.name, identity_of(m.op, m.type)));
    update_reduced(m, m.name, {query}, b.ref(term), k);
}

/** A moment with features that is no matrix product: elementwise over rows, features and the stream. */
void PassBuilder::reduce_feature_moment(const Moment &m, const std::string &name, const std::set<std::string> &axes,
                                        const Expr &factor, size_t k) {
    Expr value = m.pivot >= 0 ? cast(m.type, weights[m.pivot].value) : Expr();
    if (factor.defined()) {
        const Expr f = cast(m.type, over_loaded_tiles(b, factor));
        value = value.defined() ? value * f : f;
    }
    const Expr identity = identity_of(m.op, m.type);
    // A weight of 0 masks nothing but itself: another factor may be infinite or NaN there.
    const bool weights_mask = m.pivot >= 0 && m.op == ReduceOp::Sum && !factor.defined();
    for (const Expr &guard : {m.guard, b.pass().mask.guard}) {
        if (guard.defined() && !weights_mask) {
            b.compute_inner(guard);
            value = select(guard, value, identity);
        }
    }
    b.declare(name, m.type, axes);
    states.push_back({&m, name, axes});
    b.pass().prologue.push_back(fill_op(name, identity));
    update_reduced(m, name, axes, value, k);
}

/** A moment with one feature axis: weights times an operand over the stream and the
 * features, as a contraction where it is a sum of such products. */
void PassBuilder::add_feature_moment(const Moment &m, const std::string &name, const std::string &feature,
                                     const Expr &factor, size_t k) {
    const std::set<std::string> axes = {query, feature};
    const SplitProduct product = split_product(factor.defined() ? factor : make_one(m.type), feature,
                                               [&](const Expr &e) { return b.axes_in(e); });
    const bool of_rows = std::any_of(product.with.begin(), product.with.end(),
                                     [&](const Expr &f) { return b.tile_axes_in(f).count(query); });
    const bool own_weights = m.pivot < 0 || features_in(plan.pivots[m.pivot].exponent).empty();
    if (m.op != ReduceOp::Sum || of_rows || !own_weights || product.with.empty() || !m.type.is_float()) {
        reduce_feature_moment(m, name, axes, factor, k);
        return;
    }
    const Type type = operand_type(m, feature, stored_type(product.with, m.type));
    const std::string operand = value_tile(m, feature, product.with, type);
    const std::string term = term_tile(m, product_of(product.without), k);
    b.declare(name, m.type, axes);
    states.push_back({&m, name, axes});
    b.pass().prologue.push_back(fill_op(name, identity_of(m.op, m.type)));
    if (m.pivot >= 0 && !weights[m.pivot].rescale.empty()) {
        b.step(map_op(name, rescaled(m, name)));
    }
    b.step(contract_op(name, stream, term, operand, type, true));
}

void PassBuilder::add_moment(const Moment &m, size_t k) {
    std::vector<std::string> features;
    for (const std::string &a : features_of(m)) {
        features.push_back(a);
    }
    if (features.empty()) {
        add_row_moment(m, k);
        return;
    }
    if (m.degree > 0) {
        refuse(m, "its exponent is a factor of it, and it has features");
    }
    std::stable_sort(features.begin(), features.end(),
                     [&](const std::string &x, const std::string &y) { return b.size_of(x) < b.size_of(y); });
    const std::string longest = features.back();
    features.pop_back();
    int copies = 1;
    for (const std::string &a : features) {
        copies *= b.size_of(a);
    }
    if (copies > few_features) {
        refuse(m, "it has two long feature axes, " + features.back() + " and " + longest);
    }
    if (copies > 1 && m.pivot >= 0 && !features_in(plan.pivots[m.pivot].exponent).empty()) {
        refuse(m, "its exponent depends on several feature axes");
    }
    // One tile for each element of the further axes.
    Expr chosen;
    for (int n = copies; n-- > 0;) {
        Expr factor = m.factor, here = const_true();
        int rest = n;
        for (const std::string &a : features) {
            const Expr at = simplify(b.graph.axis(a).min + rest % b.size_of(a));
            rest /= b.size_of(a);
            factor = factor.defined() ? simplify(substitute(a, at, factor)) : factor;
            here = here && Variable::make(Int(32), a) == at;
        }
        const std::string name = features.empty() ? m.name : b.unique(m.name + "." + std::to_string(n));
        add_feature_moment(m, name, longest, factor, k);
        chosen = chosen.defined() ? select(simplify(here), b.ref(name), chosen) : b.ref(name);
    }
    if (!features.empty()) {
        b.computed_otherwise[m.name] = chosen;
    }
}

}  // namespace

void build_pass(TileBuilder &builder, size_t index) {
    PassBuilder(builder, index).build();
}

}  // namespace strobe
