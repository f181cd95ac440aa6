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

/** What all generators share: element type, head dimensions, the Vars. A variant
 * says in define() what it computes, and names in each_tensor() the tensors that it
 * declares beside those of its base class and whose elements are of type dtype:
 *
 *     template<typename Visit>
 *     void each_tensor(const Visit &visit) {
 *         Attention::each_tensor(visit);
 *         visit(gate, valued());
 *     }
 *
 * The second argument is the constant extent of the innermost dimension. Lengths,
 * heads, batch and the strides of all other dimensions are free at run time. */
template<typename Variant>
class Algorithm : public Halide::Generator<Variant> {
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

    const Halide::Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};

    /** A variant's own inputs follow the outputs declared here. */
    bool allow_out_of_order_inputs_and_outputs() const override {
        return true;
    }

    void configure() {
        const Halide::Type type = halide_type(dtype);
        variant().each_tensor([&](auto &tensor, int) { tensor.set_type(type); });
    }

    void generate() {
        check("head_dim", head_dim, 1);
        check("value_dim", value_dim, 0);
        variant().define();
        // What is known of the shapes at compile time, and typical sizes for schedulers that ask.
        variant().each_tensor([&](auto &tensor, int features) { declare(tensor, features); });
    }

protected:
    /** Features of q and k; of v and out. */
    int keyed() const {
        return head_dim;
    }
    int valued() const {
        return value_dim == 0 ? int(head_dim) : int(value_dim);
    }
    /** e in the type of the tensors. */
    Expr stored(const Expr &e) const {
        return Halide::cast(halide_type(dtype), e);
    }

    /** Dimension 0 has a constant extent (0: it is free too); all start at 0. */
    template<typename T>
    static void declare(T &tensor, int features) {
        std::vector<int> typical = {4096, 16, 4};
        if (features > 0) {
            tensor.dim(0).set_bounds(0, features);
            typical.insert(typical.begin(), features);
        }
        Halide::Region region;
        for (int n = 0; n < tensor.dimensions(); n++) {
            if (n > 0 || features == 0) {
                tensor.dim(n).set_min(0);
            }
            region.emplace_back(0, n < int(typical.size()) ? typical[n] : 4);
        }
        tensor.set_estimates(region);
    }

private:
    Variant &variant() {
        return *static_cast<Variant *>(this);
    }
    static void check(const char *name, int value, int least) {
        if (value < least || value > 1024) {
            throw Halide::CompileError(std::string(name) + " is " + std::to_string(value) + "; it must be in [" +
                                       std::to_string(least) + ", 1024]");
        }
    }
};

/** Inputs q (head_dim, Sq, H, B), k (head_dim, Sk, Hk, B), v (value_dim, Sk, Hk, B)
 * and scale; output out (value_dim, Sq, H, B). H is a multiple of Hk. */
template<typename Variant>
class KeyValue : public Algorithm<Variant> {
    using Base = Algorithm<Variant>;

public:
    template<typename T>
    using Input = typename Base::template Input<T>;
    template<typename T>
    using Output = typename Base::template Output<T>;
    template<typename T = void, int Dims = Halide::AnyDims>
    using Buffer = Halide::Buffer<T, Dims>;
    using Expr = Halide::Expr;
    using Base::b, Base::d, Base::h, Base::i, Base::j;

    Input<Buffer<void, 4>> q{"q"};
    Input<Buffer<void, 4>> k{"k"};
    Input<Buffer<void, 4>> v{"v"};
    // Positive, so that it may be moved through a maximum.
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};

    Output<Buffer<void, 4>> out{"out"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, this->keyed());
        visit(k, this->keyed());
        visit(v, this->valued());
        visit(out, this->valued());
    }

    void generate() {
        Base::generate();
        this->add_requirement(q.dim(2).extent() % k.dim(2).extent() == 0 && k.dim(2).extent() == v.dim(2).extent(),
                              "the heads of q must be a multiple of those of k and v, which must be equal");
    }

protected:
    /** Number of keys. */
    Expr keys() {
        return k.dim(1).extent();
    }

    /** out = the sum of v weighted by \p weights, an Expr over j, i, h, b. */
    void sum_up(const Expr &weights) {
        Halide::Func w("weights");
        w(j, i, h, b) = weights;
        out(d, i, h, b) = this->stored(weighted_sum(w, v, q)(d, i, h, b));
    }
};

/** A softmax over keys: also the output lse (Sq, H, B) in float32. */
template<typename Variant>
class Attention : public KeyValue<Variant> {
    using Base = KeyValue<Variant>;

public:
    template<typename T>
    using Input = typename Base::template Input<T>;
    template<typename T>
    using Output = typename Base::template Output<T>;
    template<typename T = void, int Dims = Halide::AnyDims>
    using Buffer = Halide::Buffer<T, Dims>;
    using Expr = Halide::Expr;
    using Base::b, Base::d, Base::h, Base::i, Base::j, Base::q, Base::k, Base::v, Base::scale, Base::out;

    Output<Buffer<float, 3>> lse{"lse"};

    void generate() {
        Base::generate();
        this->declare(lse, 0);
    }

protected:
    /** out and lse of the softmax of s, an Expr over j, i, h, b. */
    void attend(const Expr &s) {
        attend(softmax(s, this->keys()));
    }
    void attend(const Softmax &p) {
        out(d, i, h, b) = this->stored(weighted_sum(p.weights, v, q)(d, i, h, b));
        lse(i, h, b) = p.lse(i, h, b);
    }
};

}  // namespace strobe

#endif
