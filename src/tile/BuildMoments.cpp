#include "OperandTiles.h"
#include "PassBuilder.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Elements of a further feature axis that become tiles of their own. */
const int few_features = 16;

/** The type of the one input element that the product of \p factors is, else \p otherwise. */
Type stored_type(const std::vector<Expr> &factors, Type otherwise) {
    const Call *call = factors.size() == 1 ? plain_load(factors[0]) : nullptr;
    return call ? call->type : otherwise;
}

}  // namespace

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
    // Beside sums ahead, which are not rounded, a block's own few weights would bring all of the error.
    return b.operand_type(funcs, is_narrow_float(value_type) && !b.choices.exchange ? value_type : m.type);
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

/** Before the walk, unless sums ahead have given it something to start from. */
void PassBuilder::start_empty(const Moment &m, const std::string &name) {
    if (!b.choices.exchange) {
        b.pass().prologue.push_back(fill_op(name, identity_of(m.op, m.type)));
    }
}

void PassBuilder::add_row_moment(const Moment &m, size_t k) {
    const std::string term = term_tile(m, m.factor, k);
    b.declare(m.name, m.type, {query});
    states.push_back({&m, m.name, {query}});
    start_empty(m, m.name);
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
    start_empty(m, name);
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
    start_empty(m, name);
    if (m.pivot >= 0 && !weights[m.pivot].rescale.empty()) {
        b.step(map_op(name, rescaled(m, name)));
    }
    b.step(contract_op(name, stream, term, operand, type, true));
}

void PassBuilder::add_moment(const Moment &m, size_t k) {
    if (m.selection >= 0) {
        return;  // with the selection
    }
    if (m.around.value.defined()) {
        add_around(m, k);
        return;
    }
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

}  // namespace strobe
