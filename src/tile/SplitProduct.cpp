#include "SplitProduct.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Every value of type `from` is one of type `to`. */
bool keeps_values(Type from, Type to) {
    if (!to.is_float() || to.lanes() != 1) {
        return from == to;
    }
    const int digits = to.is_bfloat() ? 8 : to.bits() == 16 ? 11 : to.bits() == 32 ? 24 : 53;
    if (from.is_int() || from.is_uint()) {
        return from.bits() <= digits;
    }
    return from.bits() < to.bits() || from == to;
}

void split(const Expr &e, const std::string &axis, const AxesIn &axes_in, SplitProduct &result) {
    if (!axes_in(e).count(axis)) {
        result.without.push_back(e);
    } else if (const Mul *mul = e.as<Mul>()) {
        split(mul->a, axis, axes_in, result);
        split(mul->b, axis, axes_in, result);
    } else if (const Div *div = e.as<Div>(); div && e.type().is_float() && !axes_in(div->b).count(axis)) {
        split(div->a, axis, axes_in, result);
        result.without.push_back(make_one(e.type()) / div->b);
    } else {
        result.with.push_back(e);
    }
}

}  // namespace

SplitProduct split_product(const Expr &e, const std::string &axis, const AxesIn &axes_in) {
    SplitProduct result;
    split(e, axis, axes_in, result);
    return result;
}

Expr product_of(const std::vector<Expr> &factors) {
    Expr product;
    for (const Expr &f : factors) {
        product = product.defined() ? product * f : f;
    }
    return product;
}

const Call *plain_load(const Expr &e) {
    Expr inner = e;
    while (const Cast *cast = inner.as<Cast>()) {
        if (!keeps_values(cast->value.type(), cast->type)) {
            return nullptr;
        }
        inner = cast->value;
    }
    const Call *call = inner.as<Call>();
    return call && call->call_type == Call::Image ? call : nullptr;
}

bool is_narrow_float(Type t) {
    return t.is_float() && t.bits() == 16;
}

Type operand_type_of(Type a, Type b, Type accumulator) {
    return is_narrow_float(a) && a == b ? a : accumulator;
}

}  // namespace strobe
