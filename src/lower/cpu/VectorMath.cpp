#include "VectorMath.h"

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Binds \p value to a name and returns body of it. */
template<typename F>
Expr let(const Expr &value, const char *name, F body) {
    if (value.as<Variable>() || is_const(value)) {
        return body(value);
    }
    // The dot keeps it apart from the names of inputs, which may be as short.
    const std::string n = unique_name(std::string("math.") + name);
    return Let::make(n, value, body(Variable::make(value.type(), n)));
}

/** Unsigned, because that wraps: the simplifier may move a shift past a difference. */
Expr bits_of(const Expr &x) {
    return reinterpret(UInt(32, x.type().lanes()), x);
}

Expr float_of(const Expr &bits) {
    return reinterpret(Float(32, bits.type().lanes()), bits);
}

Expr horner(const Expr &x, std::initializer_list<float> from_highest) {
    Expr sum;
    for (float c : from_highest) {
        sum = sum.defined() ? sum * x + c : Expr(c);
    }
    return sum;
}

/** x = k ln 2 + r with |r| <= ln 2 / 2; 2 e^r by a polynomial whose relative
 * error is 4e-9 there (minimax), times 2^(k - 1) made in the exponent's bits: 0 for
 * the least k, infinity for the greatest, and results up to the largest float in
 * between. A NaN passes through both clamps. k comes from an instruction of its
 * own: the trick of adding 1.5 * 2^23 invites LLVM to distribute k ln 2 over its
 * difference. Where the product k ln 2 is fused with its subtraction, one constant
 * will do: its error is k * 2e-9, below half an ulp where e^x > 1e-9. Else the
 * product with its leading bits is exact, and the rest follows. */
Expr exp_float(const Expr &argument, bool fused) {
    auto constant = [&](double c) { return make_const(argument.type(), c); };
    return let(Call::make(argument.type(), Call::strict_max, {constant(-87.5), argument}, Call::PureIntrinsic), "x", [=](const Expr &x) {
        Expr rounded = Call::make(x.type(), Call::strict_min, {constant(129), round(x * 1.44269504088896341f)}, Call::PureIntrinsic);
        return let(rounded, "k", [&](const Expr &k) {
            Expr r = fused ? x - k * 0.693147180559945309f :
                             strict_float(x - k * 0.693145751953125f) - k * 1.42860682030941723e-6f;
            return let(r, "r", [&](const Expr &r) {
                Expr twice = horner(r, {2.7629e-3f, 1.67375e-2f, 8.333678e-2f, 3.333304e-1f, 0.99999986f, 2.0f, 2.0f});
                Expr exponent = cast(Int(32, x.type().lanes()), k) + 126;
                return twice * float_of(exponent << 23);
            });
        });
    });
}

/** An odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond 0.625. */
Expr tanh_float(const Expr &argument, bool fused) {
    return let(argument, "x", [=](const Expr &x) {
        Expr z = x * x;
        Expr near = let(z, "z", [&](const Expr &z) {
            return x + x * z * horner(z, {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f});
        });
        Expr bits = bits_of(x);
        Expr size = float_of(bits & Expr(uint32_t(0x7fffffff)));
        return let(size, "a", [&](const Expr &a) {
            Expr far = 1.0f - 2.0f / (exp_float(select(strict_float(a > 20.0f), make_const(a.type(), 20.0f), a) * 2.0f, fused) + 1.0f);
            Expr signed_far = float_of(bits_of(far) | (bits & Expr(uint32_t(0x80000000))));
            return select(strict_float(a < 0.625f), near, signed_far);
        });
    });
}

class ExpandCalls : public IRMutator {
    using IRMutator::visit;
    const bool fused;

    Expr visit(const Call *op) override {
        if (op->type.element_of() == Float(32) && op->args.size() == 1) {
            if (op->name == "exp_f32") {
                return exp_float(mutate(op->args[0]), fused);
            }
            if (op->name == "tanh_f32") {
                return tanh_float(mutate(op->args[0]), fused);
            }
        }
        return IRMutator::visit(op);
    }

public:
    explicit ExpandCalls(bool f) : fused(f) {
    }
};

}  // namespace

Expr vector_math(const Expr &e, bool fused) {
    return ExpandCalls(fused).mutate(strictify_float(e));
}

}  // namespace strobe::cpu
