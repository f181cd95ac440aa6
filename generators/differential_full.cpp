#include "strobe/generator.h"

/** The core of differential attention (arXiv:2410.05258) alone: the difference of two
 * softmaxes over all keys weighs the values. q and k have two heads for each of v and
 * out, one for each softmax; v is usually twice as wide as they are. */
class DifferentialFull : public strobe::Algorithm<DifferentialFull> {
public:
    Input<Buffer<void, 4>> q{"q"}, k{"k"}, v{"v"};
    Input<Buffer<float, 1>> lambda{"lambda"};  // one a head
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<void, 4>> out{"out"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(k, keyed());
        visit(v, valued());
        visit(out, valued());
    }

    void define() {
        Func s = strobe::scores(q, k);
        Expr keys = k.dim(1).extent();
        Func first = strobe::softmax(s(j, i, 2 * h, b) * scale, keys).weights;
        Func second = strobe::softmax(s(j, i, 2 * h + 1, b) * scale, keys).weights;
        Func weights("weights");
        weights(j, i, h, b) = first(j, i, h, b) - lambda(h) * second(j, i, h, b);
        out(d, i, h, b) = stored(strobe::weighted_sum(weights, v, v)(d, i, h, b));
    }
};

HALIDE_REGISTER_GENERATOR(DifferentialFull, differential_full)
