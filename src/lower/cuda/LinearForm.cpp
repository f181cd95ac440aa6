#include "LinearForm.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Differs = std::function<bool(const Expr &)>;

Expr zero_of(Type t) {
    return make_zero(t);
}

Expr sum(const Expr &a, const Expr &b) {
    return is_const_zero(a) ? b : is_const_zero(b) ? a : simplify(a + b);
}

void add_term(LinearForm &form, const Expr &coefficient, const Expr &atom) {
    for (Term &t : form.terms) {
        if (equal(t.atom, atom)) {
            t.coefficient = sum(t.coefficient, coefficient);
            return;
        }
    }
    form.terms.push_back({coefficient, atom});
}

LinearForm atom(const Expr &e) {
    return {{{make_one(e.type()), e}}, zero_of(e.type())};
}

template<typename F>
LinearForm mapped(LinearForm form, F f) {
    for (Term &t : form.terms) {
        t.coefficient = f(t.coefficient);
    }
    form.constant = f(form.constant);
    return form;
}

LinearForm added(LinearForm a, const LinearForm &b) {
    for (const Term &t : b.terms) {
        add_term(a, t.coefficient, t.atom);
    }
    a.constant = sum(a.constant, b.constant);
    return a;
}

}  // namespace

Expr scaled(const Expr &coefficient, const Expr &value) {
    return is_const_zero(coefficient) ? coefficient :
           is_const_one(coefficient)  ? value :
           is_const_zero(value)       ? value :
           is_const_one(value)        ? coefficient :
                                        coefficient * value;
}

bool integer_line(const Expr &e, const Differs &differs, const std::string &axis, int64_t &slope, Expr &offset) {
    slope = 0;
    offset = e;
    if (!differs(e)) {
        return true;
    }
    int64_t other_slope = 0;
    Expr other;
    if (const Variable *v = e.as<Variable>()) {
        slope = 1;
        offset = zero_of(e.type());
        return v->name == axis;
    }
    if (const Add *op = e.as<Add>()) {
        const bool ok = integer_line(op->a, differs, axis, slope, offset) &&
                        integer_line(op->b, differs, axis, other_slope, other);
        slope += other_slope;
        offset = ok ? sum(offset, other) : offset;
        return ok;
    }
    if (const Sub *op = e.as<Sub>()) {
        const bool ok = integer_line(op->a, differs, axis, slope, offset) &&
                        integer_line(op->b, differs, axis, other_slope, other);
        slope -= other_slope;
        offset = ok ? simplify(offset - other) : offset;
        return ok;
    }
    if (const Mul *op = e.as<Mul>()) {
        const auto factor = as_const_int(op->b);
        if (!factor || !integer_line(op->a, differs, axis, slope, offset)) {
            return false;
        }
        slope *= *factor;
        offset = simplify(offset * op->b);
        return true;
    }
    return false;
}

LinearForm linear_form(const Expr &e, const Differs &differs, const std::string &stream_index) {
    if (!differs(e)) {
        return {{}, e};
    }
    const auto again = [&](const Expr &x) { return linear_form(x, differs, stream_index); };
    if (const Add *op = e.as<Add>()) {
        return added(again(op->a), again(op->b));
    }
    if (const Sub *op = e.as<Sub>()) {
        return added(again(op->a), mapped(again(op->b), [](const Expr &c) { return simplify(-c); }));
    }
    if (const Mul *op = e.as<Mul>()) {
        const bool a_differs = differs(op->a);
        if (!a_differs || !differs(op->b)) {
            const Expr factor = a_differs ? op->b : op->a;
            return mapped(again(a_differs ? op->a : op->b), [&](const Expr &c) { return scaled(c, factor); });
        }
    }
    if (const Div *op = e.as<Div>()) {
        if (e.type().is_float() && !differs(op->b)) {
            const Expr inverse = 1.0f / op->b;
            return mapped(again(op->a), [&](const Expr &c) { return is_const_one(c) ? inverse : scaled(c, inverse); });
        }
    }
    if (const Select *op = e.as<Select>()) {
        if (!differs(op->condition)) {
            const auto chosen = [&](const Expr &x, bool first) {
                return mapped(again(x), [&](const Expr &c) {
                    return is_const_zero(c) ? c :
                           first            ? select(op->condition, c, zero_of(c.type())) :
                                              select(op->condition, zero_of(c.type()), c);
                });
            };
            return added(chosen(op->true_value, true), chosen(op->false_value, false));
        }
    }
    if (const Cast *op = e.as<Cast>()) {
        int64_t slope = 0;
        Expr offset;
        if (e.type() == Float(32) && op->value.type().is_int() && !stream_index.empty() &&
            integer_line(op->value, differs, stream_index, slope, offset)) {
            LinearForm form;
            form.terms.push_back({Expr(static_cast<float>(slope)), Variable::make(Float(32), stream_index + ".float")});
            form.constant = is_const_zero(offset) ? Expr(0.0f) : cast<float>(offset);
            return form;
        }
    }
    return atom(e);
}

}  // namespace strobe::cuda
