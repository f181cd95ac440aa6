#include "VectorMath.h"

#include <cmath>
#include <limits>

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
    return reinterpret(UInt(x.type().bits(), x.type().lanes()), x);
}

Expr float_of(const Expr &bits) {
    return reinterpret(Float(bits.type().bits(), bits.type().lanes()), bits);
}

Expr horner(const Expr &x, std::initializer_list<double> from_highest) {
    Expr sum;
    for (double c : from_highest) {
        const Expr constant = make_const(x.type(), c);
        sum = sum.defined() ? sum * x + constant : constant;
    }
    return sum;
}

Expr strict(Call::IntrinsicOp op, const Expr &a, const Expr &b) {
    return Call::make(a.type(), op, {a, b}, Call::PureIntrinsic);
}

/** \p least <= x <= \p most; a NaN passes. */
Expr clamped(const Expr &x, double least, double most) {
    return strict(Call::strict_min, make_const(x.type(), most), strict(Call::strict_max, make_const(x.type(), least), x));
}

/** The integer k nearest to x / ln 2, as a float, and 2^(k - 1), made in the exponent's bits: adding a number so large
 * that its unit is the last place rounds to an integer and leaves that in the lowest bits, which the shift keeps.
 * Only strict arithmetic says that the sum and the difference are to be taken as they stand. */
struct PowerOfTwo {
    Expr with_magic, magic;

    explicit PowerOfTwo(const Expr &x) {
        const bool wide = x.type().bits() == 64;
        magic = make_const(x.type(), wide ? 1.5 * 4503599627370496.0 + 1022 : 1.5 * 8388608.0 + 126);
        with_magic = strict(Call::strict_add, strict(Call::strict_mul, x, make_const(x.type(), 1.44269504088896341)), magic);
    }
    Expr exponent(const Expr &sum) const {
        return strict(Call::strict_sub, sum, magic);
    }
    Expr half_power(const Expr &sum) const {
        return float_of(bits_of(sum) << make_const(UInt(sum.type().bits()), sum.type().bits() == 64 ? 52 : 23));
    }
};

/** x = k ln 2 + r with |r| <= ln 2 / 2; 2 e^r by a polynomial whose relative
 * error is 4e-9 there (minimax), times 2^(k - 1): 0 for the least k, infinity for the
 * greatest, and results up to the largest float in between. Where the product k ln 2
 * is fused with its subtraction, one constant will do: its error is k * 2e-9, below
 * half an ulp where e^x > 1e-9. Else the product with its leading bits is exact, and
 * the rest follows. */
Expr exp_float(const Expr &argument, bool fused) {
    return let(clamped(argument, -87.5, 89.5), "x", [=](const Expr &x) {
        const PowerOfTwo power(x);
        return let(power.with_magic, "t", [&](const Expr &t) {
            return let(power.exponent(t), "k", [&](const Expr &k) {
                Expr r = fused ? x - k * 0.693147180559945309f :
                                 strict_float(x - k * 0.693145751953125f - k * 1.42860682030941723e-6f);
                return let(r, "r", [&](const Expr &r) {
                    Expr twice = horner(r, {2.7629e-3, 1.67375e-2, 8.333678e-2, 3.333304e-1, 0.99999986, 2.0, 2.0});
                    return twice * power.half_power(t);
                });
            });
        });
    });
}

/** The same for doubles, by the Taylor series: its error is 4e-18 there. */
Expr exp_double(const Expr &argument) {
    return let(clamped(argument, -708.5, 710.5), "x", [=](const Expr &x) {
        const PowerOfTwo power(x);
        return let(power.with_magic, "t", [&](const Expr &t) {
            return let(power.exponent(t), "k", [&](const Expr &k) {
                auto constant = [&](double c) { return make_const(k.type(), c); };
                // The first has 32 bits: its products with k are exact. LLVM would add the two up.
                Expr r = strict_float(x - k * constant(0.69314718036912381649) - k * constant(1.9082149292705877e-10));
                return let(r, "r", [&](const Expr &r) {
                    Expr twice = horner(r, {2 / 6227020800.0, 2 / 479001600.0, 2 / 39916800.0, 2 / 3628800.0, 2 / 362880.0,
                                            2 / 40320.0, 2 / 5040.0, 2 / 720.0, 2 / 120.0, 2 / 24.0, 2 / 6.0, 1.0, 2.0, 2.0});
                    return twice * power.half_power(t);
                });
            });
        });
    });
}

/** x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2); log(1 + f) = f - f^2 / 2 + f^3 p(f) with a polynomial
 * whose error is 1e-9 of the result (minimax). */
Expr log_float(const Expr &argument) {
    return let(argument, "x", [=](const Expr &x) {
        const Type bits_type = UInt(32, x.type().lanes()), int_type = Int(32, x.type().lanes());
        auto constant = [&](double c) { return make_const(x.type(), c); };
        const Expr subnormal = strict_float(x < constant(1.17549435e-38));
        const Expr bits = bits_of(select(subnormal, x * constant(8388608), x));
        return let(bits, "bits", [&](const Expr &bits) {
            const Expr exponent = reinterpret(int_type, bits - make_const(bits_type, 0x3f3504f3)) >> make_const(int_type, 23);
            return let(exponent, "exponent", [&](const Expr &exponent) {
                const Expr fraction = strict_float(float_of(bits - reinterpret(bits_type, exponent << make_const(int_type, 23))) - constant(1));
                const Expr e = cast(x.type(), exponent) - select(subnormal, constant(23), constant(0));
                return let(fraction, "f", [&](const Expr &f) {
                    const Expr p = horner(f, {0.0674663863, -0.1167565137, 0.1188816279, -0.1240558922, 0.1421955228,
                                              -0.1666799635, 0.2000211924, -0.2500000894, 0.3333331347});
                    const Expr small = f * f * (f * p - constant(0.5)) + e * constant(-2.12194440e-4);
                    const Expr log = strict_float(strict_float(f + small) + e * constant(0.693359375));
                    const double inf = std::numeric_limits<double>::infinity();
                    return select(strict_float(x > constant(0)), select(strict_float(x == constant(inf)), constant(inf), log),
                                  select(strict_float(x == constant(0)), constant(-inf), constant(NAN)));
                });
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
            if (op->name == "log_f32") {
                return log_float(mutate(op->args[0]));
            }
        }
        if (op->name == "exp_f64" && op->args.size() == 1) {
            return exp_double(mutate(op->args[0]));
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
