#ifndef STROBE_TESTS_GENERATORS_FORMULAS_H
#define STROBE_TESTS_GENERATORS_FORMULAS_H

/** \file
 * The shipped algorithms' formulas written out by hand, and their direct evaluation
 * in double or with the roundings of a computation that is not fused. */

#include "driver/Problem.h"

#include <cmath>
#include <functional>

namespace strobe::test {

using Halide::Buffer;
using Halide::Parameter;

/** What element access a formula needs besides the scaled score. */
struct Context {
    Instance &instance;

    double scalar(const std::string &name) {
        Parameter *p = instance.input(name);
        return p->type().is_float() ? p->scalar<float>() : p->scalar<int32_t>();
    }
    double at(const std::string &name, int x, int y = 0) {
        Buffer<> buffer = instance.input(name)->buffer();
        return element(buffer, x + (buffer.dimensions() > 1 ? int64_t(y) * buffer.dim(1).stride() : 0));
    }
};

/** The score that takes part in the softmax; -HUGE_VAL where masked. */
using Formula = std::function<double(Context &, double s, int i, int j, int h, int b)>;

struct Variant {
    const char *name;
    Formula formula;
};

inline std::ostream &operator<<(std::ostream &stream, const Variant &v) {
    return stream << v.name;
}

inline double masked(bool live, double s) {
    return live ? s : -HUGE_VAL;
}

inline const Variant variants[] = {
    {"full", [](Context &, double s, int, int, int, int) { return s; }},
    {"causal", [](Context &, double s, int i, int j, int, int) { return masked(j <= i, s); }},
    {"alibi", [](Context &c, double s, int i, int j, int h, int) { return s + c.at("slopes", h) * (j - i); }},
    {"softcap",
     [](Context &c, double s, int, int, int, int) { return c.scalar("cap") * std::tanh(s / c.scalar("cap")); }},
    {"sliding_window",
     [](Context &c, double s, int i, int j, int, int) { return masked(j <= i && j >= i - c.scalar("window"), s); }},
    {"prefix_lm",
     [](Context &c, double s, int i, int j, int, int) { return masked(j <= i || j < c.scalar("prefix"), s); }},
    {"document_mask", [](Context &c, double s, int i, int j, int,
                         int b) { return masked(c.at("document", i, b) == c.at("document", j, b), s); }},
};

struct Expected {
    std::vector<double> out, lse;
};

using Rounding = std::function<double(double)>;

inline double exactly(double x) {
    return x;
}

/** Rounds to the nearest value of a floating-point type. */
inline Rounding rounding_to(const Halide::Type &t) {
    if (t.is_bfloat()) {
        return [](double x) { return double(float(Halide::bfloat16_t(float(x)))); };
    }
    if (t.bits() == 16) {
        return [](double x) { return double(float(Halide::float16_t(float(x)))); };
    }
    return [](double x) { return double(float(x)); };
}

/** What the algorithm gives for the inputs bound to \p instance. \p stored rounds
 * each tensor that an unfused computation would store: scores, weights and output;
 * \p summed rounds every addition. */
inline Expected by_hand(Instance &instance, const Problem &p, const Formula &formula, const Rounding &stored = exactly,
                        const Rounding &summed = exactly) {
    Context context{instance};
    Buffer<> q = instance.input("q")->buffer(), k = instance.input("k")->buffer(), v = instance.input("v")->buffer();
    const int D = q.dim(0).extent(), Dv = v.dim(0).extent(), group = p.heads / p.kv_heads;
    const double scale = context.scalar("scale");
    Expected e;
    for (int b = 0; b < p.batch; b++) {
        for (int h = 0; h < p.heads; h++) {
            for (int i = 0; i < p.queries; i++) {
                auto key_row = [&](int j) { return (int64_t(b) * p.kv_heads + h / group) * p.keys + j; };
                std::vector<double> s(p.keys);
                double row_max = -HUGE_VAL, sum = 0;
                for (int j = 0; j < p.keys; j++) {
                    double dot = 0;
                    for (int d = 0; d < D; d++) {
                        dot = summed(dot + element(q, ((int64_t(b) * p.heads + h) * p.queries + i) * D + d) *
                                               element(k, key_row(j) * D + d));
                    }
                    s[j] = stored(formula(context, stored(summed(stored(dot) * scale)), i, j, h, b));
                    row_max = std::max(row_max, s[j]);
                }
                const bool live = row_max > -HUGE_VAL;
                for (int j = 0; j < p.keys && live; j++) {
                    s[j] = summed(std::exp(summed(s[j] - row_max)));
                    sum = summed(sum + s[j]);
                }
                for (int d = 0; d < Dv; d++) {
                    double o = 0;
                    for (int j = 0; j < p.keys && live; j++) {
                        o = summed(o + stored(s[j] / sum) * element(v, key_row(j) * Dv + d));
                    }
                    e.out.push_back(stored(o));
                }
                e.lse.push_back(live ? summed(row_max + std::log(sum)) : -HUGE_VAL);
            }
        }
    }
    return e;
}

}  // namespace strobe::test

#endif
