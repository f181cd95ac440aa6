#ifndef STROBE_GENERATOR_H
#define STROBE_GENERATOR_H

/** \file
 * The common part of attention generators: parameters, inputs and outputs. A
 * variant derives from Attention, declares its own inputs, and says what it
 * computes in define():
 *
 *     class Causal : public strobe::Attention<Causal> {
 *     public:
 *         void define() {
 *             Expr s = scores(q, k)(j, i, h, b) * scale;
 *             attend(where(causal(i, j), s));
 *         }
 *     };
 *     HALIDE_REGISTER_GENERATOR(Causal, causal)
 */

#include "attention.h"

namespace strobe {

/** Element type of q, k, v and out: bf16 (default), fp16 or fp32. */
enum class ElementKind { bf16, fp16, fp32 };

inline Halide::Type halide_type(ElementKind kind) {
    switch (kind) {
    case ElementKind::bf16:
        return Halide::BFloat(16);
    case ElementKind::fp16:
        return Halide::Float(16);
    case ElementKind::fp32:
        break;
    }
    return Halide::Float(32);
}

/** Inputs q (head_dim, Sq, H, B), k (head_dim, Sk, Hk, B), v (value_dim, Sk, Hk, B)
 * and scale; outputs out (value_dim, Sq, H, B) and lse (Sq, H, B) in float32.
 * H is a multiple of Hk. Lengths, heads, batch and the strides of all dimensions
 * but the feature dimension are free at run time. */
template<typename Variant>
class Attention : public Halide::Generator<Variant> {
public:
    template<typename T>
    using GeneratorParam = Halide::GeneratorParam<T>;
    template<typename T>
    using Input = Halide::GeneratorInput<T>;
    template<typename T>
    using Output = Halide::GeneratorOutput<T>;
    template<typename T = void, int Dims = Halide::AnyDims>
    using Buffer = Halide::Buffer<T, Dims>;
    using Expr = Halide::Expr;
    using Func = Halide::Func;

    GeneratorParam<ElementKind> dtype{
        "dtype",
        ElementKind::bf16,
        {{"bf16", ElementKind::bf16}, {"fp16", ElementKind::fp16}, {"fp32", ElementKind::fp32}}};
    GeneratorParam<int> head_dim{"head_dim", 64};
    GeneratorParam<int> value_dim{"value_dim", 0};  // 0: head_dim

    Input<Buffer<void, 4>> q{"q"};
    Input<Buffer<void, 4>> k{"k"};
    Input<Buffer<void, 4>> v{"v"};
    // Positive, so that it may be moved through a maximum.
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};

    Output<Buffer<void, 4>> out{"out"};
    Output<Buffer<float, 3>> lse{"lse"};

    const Halide::Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};

    /** A variant's own inputs follow the outputs declared here. */
    bool allow_out_of_order_inputs_and_outputs() const override {
        return true;
    }

    void configure() {
        const Halide::Type type = halide_type(dtype);
        q.set_type(type);
        k.set_type(type);
        v.set_type(type);
        out.set_type(type);
    }

    void generate() {
        check("head_dim", head_dim, 1);
        check("value_dim", value_dim, 0);
        static_cast<Variant *>(this)->define();
        constrain();
    }

protected:
    /** Number of keys. */
    Expr keys() {
        return k.dim(1).extent();
    }

    /** out and lse of the softmax of s, an Expr over j, i, h, b. */
    void attend(const Expr &s) {
        Softmax p = softmax(s, keys());
        out(d, i, h, b) = Halide::cast(halide_type(dtype), weighted_sum(p.weights, v, q)(d, i, h, b));
        lse(i, h, b) = p.lse(i, h, b);
    }

private:
    static void check(const char *name, int value, int least) {
        if (value < least || value > 1024) {
            throw Halide::CompileError(std::string(name) + " is " + std::to_string(value) + "; it must be in [" +
                                       std::to_string(least) + ", 1024]");
        }
    }

    /** What is known of the shapes at compile time, and typical sizes for schedulers that ask. */
    void constrain() {
        const int keyed = head_dim, valued = value_dim == 0 ? keyed : int(value_dim);
        q.dim(0).set_bounds(0, keyed);
        k.dim(0).set_bounds(0, keyed);
        v.dim(0).set_bounds(0, valued);
        out.dim(0).set_bounds(0, valued);
        q.set_estimates({{0, keyed}, {0, 4096}, {0, 16}, {0, 4}});
        k.set_estimates({{0, keyed}, {0, 4096}, {0, 16}, {0, 4}});
        v.set_estimates({{0, valued}, {0, 4096}, {0, 16}, {0, 4}});
        out.set_estimates({{0, valued}, {0, 4096}, {0, 16}, {0, 4}});
        lse.set_estimates({{0, 4096}, {0, 16}, {0, 4}});
        for (int n = 1; n < 4; n++) {
            q.dim(n).set_min(0);
            k.dim(n).set_min(0);
            v.dim(n).set_min(0);
            out.dim(n).set_min(0);
        }
        for (int n = 0; n < 3; n++) {
            lse.dim(n).set_min(0);
        }
        this->add_requirement(q.dim(2).extent() % k.dim(2).extent() == 0 && k.dim(2).extent() == v.dim(2).extent(),
                              "the heads of q must be a multiple of those of k and v, which must be equal");
    }
};

}  // namespace strobe

#endif
