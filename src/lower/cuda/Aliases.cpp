// Values that are alpha * fragment + gamma, and so need no code of their own.

#include "DeviceMath.h"
#include "Elements.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Expr Elements::without_aliases(const Expr &e) const {
    Expr result = e;
    for (const auto &a : aliases) {
        if (expr_uses_var(result, a.first)) {
            const Expr fragment = Variable::make(Float(32), a.second.fragment);
            result = substitute(a.first, a.second.alpha * fragment + a.second.gamma, result);
        }
    }
    return result;
}

/** value = alpha * u + gamma with u a fragment: later uses read u. When the value
 * is a sum, u = atom + (rest / alpha) costs one multiply-add an element. */
bool Elements::define_alias(const TileOp &op) {
    const TileDim &columns = program.value(op.dst).dims[1];
    use_columns(columns.axis);
    LinearForm form = linear(op.expr);
    size_t lead = form.terms.size();
    for (size_t i = form.terms.size(); i-- > 0;) {
        const Variable *v = form.terms[i].atom.as<Variable>();
        if (positive(form.terms[i].coefficient) && !(v && v->name == column_axis + ".float")) {
            lead = i;
        }
    }
    if (lead == form.terms.size()) {
        return false;
    }
    const bool is_plain = is_const_one(form.terms[lead].coefficient) && is_const_zero(form.constant);
    if (operands.count(op.dst) || (is_plain && !form.terms[lead].atom.as<Variable>())) {
        return false;
    }
    std::swap(form.terms[0], form.terms[lead]);
    Alias alias{"", form.terms[0].coefficient, form.constant};
    const Variable *fragment = form.terms[0].atom.as<Variable>();
    if (form.terms.size() == 1 && fragment && consumable.count(fragment->name)) {
        alias.fragment = fragment->name;
        aliases[op.dst] = alias;
        return true;
    }
    LinearForm scaled_form;
    scaled_form.constant = make_zero(Float(32));
    for (Term t : form.terms) {
        split_column(t, alias.gamma);
        t.coefficient = equal(t.coefficient, alias.alpha) ? make_one(Float(32)) : simplify(t.coefficient / alias.alpha);
        scaled_form.terms.push_back(t);
    }
    Expr u;
    for (const Term &t : scaled_form.terms) {
        const Expr part = scaled(t.coefficient, t.atom);
        u = u.defined() ? u + part : part;
    }
    alias.fragment = fragment && consumable.count(fragment->name) ? fragment->name : op.dst + ".part";
    const std::string target = alias.fragment;
    for_each_pair(u, columns.axis, columns.size, [&](int r, int group, const Expr &a, const Expr &b) {
        code.set(register_of(target), 4 * group + 2 * r, a);
        code.set(register_of(target), 4 * group + 2 * r + 1, b);
    });
    parts.insert(target);
    aliases[op.dst] = alias;
    return true;
}

/** value = select(guard, value, -inf) on an alias masks its fragment. */
bool Elements::mask_alias(const TileOp &op) {
    const auto alias = aliases.find(op.dst);
    const Select *chosen = op.expr.as<Select>();
    if (alias == aliases.end() || !chosen || !equal(chosen->false_value, minus_infinity())) {
        return false;
    }
    const Variable *v = chosen->true_value.as<Variable>();
    if (!v || v->name != op.dst) {
        return false;
    }
    const std::string &u = alias->second.fragment;
    assign(u, select(chosen->condition, Variable::make(Float(32), u), minus_infinity()), program.value(op.dst).dims[1]);
    return true;
}

}  // namespace strobe::cuda
