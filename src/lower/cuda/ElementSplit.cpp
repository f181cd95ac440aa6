#include "ElementSplit.h"

#include "DeviceMath.h"
#include "derivation/Expressions.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Expr Elements::Split::once_a_row(const Expr &e) {
    if (is_const(e)) {
        return e;
    }
    rows.push_back({self.fresh("$row"), self.hoisted(e)});
    return Variable::make(e.type(), rows.back().name);
}

/** form, with its coefficients multiplied by `factor`, as multiply-adds. */
Expr Elements::Split::sum_of(const LinearForm &form, double factor) {
    const auto times = [&](const Expr &c) {
        return factor == 1 || is_const_zero(c) ? c : simplify(c * static_cast<float>(factor));
    };
    std::vector<Term> terms = form.terms;
    Expr constant = form.constant;
    for (Term &t : terms) {
        self.split_column(t, constant);
    }
    Expr value = is_const_zero(constant) ? Expr() : once_a_row(times(constant));
    for (size_t i = 1; i < terms.size() && !value.defined(); i++) {
        if (is_const_one(terms[i].coefficient)) {
            std::swap(terms[0], terms[i]);
        }
    }
    for (const Term &t : terms) {
        const Expr atom = mutate_atom(t.atom);
        const Expr coefficient = times(t.coefficient);
        if (is_const_one(coefficient)) {
            value = value.defined() ? value + atom : atom;
        } else {
            const Expr c = once_a_row(coefficient);
            value = value.defined() ? device::fma(atom, c, value) : atom * c;
        }
    }
    return value.defined() ? value : make_zero(Float(32));
}

Expr Elements::Split::mutate(const Expr &e) {
    if (!self.dependence(e).differs()) {
        return once_a_row(e);
    }
    if (e.type() == Float(32) && !e.as<Variable>()) {
        const LinearForm form = self.linear(e);
        const bool itself = form.terms.size() == 1 && is_const_one(form.terms[0].coefficient) &&
                            is_const_zero(form.constant);
        return itself ? mutate_atom(form.terms[0].atom) : sum_of(form);
    }
    return mutate_atom(e);
}

Expr Elements::Split::mutate_atom(const Expr &e) {
    const Dependence d = self.dependence(e);
    const bool load = e.as<Call>() && e.as<Call>()->call_type == Call::Image;
    if ((load || is_integer_work(e)) && d.column && !d.row && !d.fragment) {
        PerColumn c{self.fresh("$col"), e};
        columns.push_back(c);
        return Variable::make(e.type().is_float() ? Float(32) : e.type(), c.name);
    }
    return IRMutator::mutate(e);
}

Expr Elements::Split::visit(const Cast *op) {
    if (op->value.type().is_float() && op->type.is_float()) {
        return mutate(op->value);  // elements are float32; stores round
    }
    return IRMutator::visit(op);
}

Expr Elements::Split::visit(const Call *op) {
    if (op->call_type == Call::Image) {
        const int dim = self.column_dimension(op);
        if (dim < 0) {
            return op;  // both row and column: loaded at the element
        }
        elements.push_back({self.fresh("$element"), op, dim, self.preloaded(op)});
        return Variable::make(op->type.is_float() ? Float(32) : op->type, elements.back().name);
    }
    if (is_math(op, "exp")) {
        return device::exp2_approx(sum_of(self.linear(op->args[0]), log2_e));
    }
    std::vector<Expr> args;
    for (const Expr &a : op->args) {
        args.push_back(mutate(a));
    }
    const Expr e = math_call(op, args);
    return e.defined() ? e : Call::make(op->type, op->name, args, op->call_type);
}

Expr Elements::Split::visit(const Div *op) {
    if (op->type == Float(32)) {
        if (self.paired && at_least_one(op->b)) {
            const Expr scaled_denominator = device::saturated(sum_of(self.linear(op->b), reciprocal_scale));
            reciprocals.push_back({self.fresh("$reciprocal"), scaled_denominator, mutate(op->b)});
            return mutate(op->a) * Variable::make(Float(32), reciprocals.back().name);
        }
        const bool narrow = self.narrow && above_zero(op->b);
        return mutate(op->a) *
               (narrow ? device::reciprocal_narrow(mutate(op->b)) : device::reciprocal_approx(mutate(op->b)));
    }
    return IRMutator::visit(op);
}
Expr Elements::Split::visit(const Max *op) {
    return op->type == Float(32) ? device::fmax(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
}
Expr Elements::Split::visit(const Min *op) {
    return op->type == Float(32) ? device::fmin(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
}

/** a < b of integers that are linear in the column: one comparison of a row's
 * value with a constant. */
template<typename Op>
Expr Elements::Split::comparison(const Op *op) {
    int64_t slope = 0;
    Expr offset;
    const auto differs = [&](const Expr &x) { return self.dependence(x).differs(); };
    if (op->a.type() == Int(32) && integer_line(op->a - op->b, differs, self.column_axis, slope, offset)) {
        const Expr at_row = once_a_row(simplify(offset + static_cast<int>(slope) * thread_column()));
        return Op::make(at_row, Variable::make(Int(32), offset_name) * static_cast<int>(-slope));
    }
    return Op::make(mutate(op->a), mutate(op->b));
}
/** |x| <= reach as one comparison: x + reach without sign is at most 2 reach. What of x + reach is the same for the
 * row is added up once. Undefined where \p distance is no |x|, or reach may be negative. */
Expr Elements::Split::within(const Expr &distance, const Expr &reach) {
    const Cast *cast_of = distance.as<Cast>();
    const Call *call = (cast_of ? cast_of->value : distance).as<Call>();
    const bool is_distance = call && call->is_intrinsic(Call::abs) && call->args[0].type() == Int(32);
    if (!is_distance || reach.type() != Int(32) || self.dependence(reach).differs() || !is_nonnegative(reach, {})) {
        return Expr();
    }
    Expr same = u32(reach), rest;
    const std::function<void(const Expr &, bool)> add = [&](const Expr &e, bool negative) {
        const Add *sum = e.as<Add>();
        const Sub *difference = e.as<Sub>();
        if (!self.dependence(e).differs()) {
            same = negative ? same - u32(e) : same + u32(e);
        } else if (sum || difference) {
            add(sum ? sum->a : difference->a, negative);
            add(sum ? sum->b : difference->b, negative == (sum != nullptr));
        } else {
            const Variable *v = e.as<Variable>();
            const bool is_column = v && v->name == self.column_axis;
            if (is_column) {
                same = negative ? same - u32(thread_column()) : same + u32(thread_column());
            }
            const Expr x = u32(is_column ? Variable::make(Int(32), offset_name) : mutate(e));
            rest = !rest.defined() ? (negative ? u32(0) - x : x) : negative ? rest - x : rest + x;
        }
    };
    add(call->args[0], false);
    return rest.defined() ? once_a_row(same) + rest <= once_a_row(u32(reach) * u32(2)) : Expr();
}

Expr Elements::Split::visit(const LT *op) {
    return comparison(op);
}
Expr Elements::Split::visit(const LE *op) {
    const Expr e = within(op->a, op->b);
    return e.defined() ? e : comparison(op);
}
Expr Elements::Split::visit(const GT *op) {
    return comparison(op);
}
Expr Elements::Split::visit(const GE *op) {
    const Expr e = within(op->b, op->a);
    return e.defined() ? e : comparison(op);
}
Expr Elements::Split::visit(const EQ *op) {
    return comparison(op);
}
Expr Elements::Split::visit(const NE *op) {
    return comparison(op);
}

}  // namespace strobe::cuda
