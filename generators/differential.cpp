#include "strobe/generator.h"

/** Differential attention (arXiv:2410.05258): the difference of two softmaxes weighs the
 * values, and the result is normalised over its features. q and k have two heads for
 * each of v and out, one for each softmax. */
class Differential : public strobe::Algorithm<Differential> {
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
        Func first = strobe::softmax(strobe::where(strobe::causal(i, j), s(j, i, 2 * h, b) * scale), keys).weights;
        Func second = strobe::softmax(strobe::where(strobe::causal(i, j), s(j, i, 2 * h + 1, b) * scale), keys).weights;
        Func weights("weights");
        weights(j, i, h, b) = first(j, i, h, b) - lambda(h) * second(j, i, h, b);
        Halide::RDom all(0, keys, "j");
        Func sum("weighted_sum");
        sum(d, i, h, b) += weights(all, i, h, b) * Halide::cast<float>(v(d, all, h, b));
        Halide::RDom c(0, valued(), "c");
        Func squares("squares");
        squares(i, h, b) += sum(c, i, h, b) * sum(c, i, h, b);
        out(d, i, h, b) = stored(sum(d, i, h, b) / sqrt(squares(i, h, b) / float(valued()) + 1e-5f));
    }
};

HALIDE_REGISTER_GENERATOR(Differential, differential)
