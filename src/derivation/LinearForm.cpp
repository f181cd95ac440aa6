#include "LinearForm.h"

#include "Expressions.h"

#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

LinearForm::LinearForm(const Expr &e) {
    add(e, 1);
}

void LinearForm::add_atom(const Expr &atom, double scale) {
    for (size_t i = 0; i < parts.size(); i++) {
        if (same(parts[i].atom, atom)) {
            parts[i].coefficient += scale;
            if (parts[i].coefficient == 0) {
                parts.erase(parts.begin() + i);
            }
            return;
        }
    }
    parts.push_back({atom, scale});
}

void LinearForm::add(const Expr &e, double scale) {
    if (const auto c = as_const_float(e); c && std::isfinite(*c)) {
        constant += scale * *c;
    } else if (const Add *op = e.as<Add>()) {
        add(op->a, scale);
        add(op->b, scale);
    } else if (const Sub *op = e.as<Sub>()) {
        add(op->a, scale);
        add(op->b, -scale);
    } else if (const Mul *op = e.as<Mul>()) {
        for (const auto &[c, x] : {std::pair<Expr, Expr>{op->a, op->b}, {op->b, op->a}}) {
            if (const auto value = as_const_float(c); value && std::isfinite(*value) && *value != 0) {
                add(x, scale * *value);
                return;
            }
        }
        // (a + b) * x: the parts may cancel one by one.
        for (const auto &[sum, x] : {std::pair<Expr, Expr>{op->a, op->b}, {op->b, op->a}}) {
            if (sum.as<Add>() || sum.as<Sub>()) {
                for (const Part &p : LinearForm(sum).parts) {
                    add_atom(p.atom * x, scale * p.coefficient);
                }
                const double c = LinearForm(sum).constant;
                if (c != 0) {
                    add_atom(x, scale * c);
                }
                return;
            }
        }
        add_atom(e, scale);
    } else if (const Div *op = e.as<Div>();
               op && e.type().is_float() && (op->a.as<Add>() || op->a.as<Sub>() || op->a.as<Mul>())) {
        const LinearForm sum(op->a);
        for (const Part &p : sum.parts) {
            add_atom(p.atom / op->b, scale * p.coefficient);
        }
        if (sum.constant != 0) {
            add_atom(make_const(e.type(), sum.constant) / op->b, scale);
        }
    } else {
        add_atom(e, scale);
    }
}

LinearForm LinearForm::plus(const LinearForm &other, double scale) const {
    LinearForm result = *this;
    for (const Part &p : other.parts) {
        result.add_atom(p.atom, scale * p.coefficient);
    }
    result.constant += scale * other.constant;
    return result;
}

LinearForm LinearForm::common(const LinearForm &other) const {
    LinearForm result;
    for (const Part &p : parts) {
        for (const Part &q : other.parts) {
            if (same(p.atom, q.atom) && p.coefficient == q.coefficient) {
                result.parts.push_back(p);
            }
        }
    }
    return result;
}

Expr LinearForm::expr(Type t) const {
    Expr sum;
    for (const bool positive : {true, false}) {
        for (const Part &p : parts) {
            if ((p.coefficient > 0) != positive) {
                continue;
            }
            const double size = std::abs(p.coefficient);
            const Expr atom = cast(t, p.atom), part = size == 1 ? atom : atom * make_const(t, size);
            if (sum.defined()) {
                sum = positive ? sum + part : sum - part;
            } else {
                sum = positive ? part : make_const(t, p.coefficient) * atom;
            }
        }
    }
    if (!sum.defined()) {
        return make_const(t, constant);
    }
    return constant == 0 ? sum : sum + make_const(t, constant);
}

}  // namespace strobe
