#include "strobe/generator.h"

/** What a recent language model does inside one attention layer: queries and keys are
 * normalised over their features (RMS, with a learned weight; arXiv:2302.05442), then
 * rotated by their position (rotary embedding, arXiv:2104.09864); the output is gated by
 * a sigmoid (arXiv:2505.06708) and added to the residual stream. */
class Rope : public strobe::Attention<Rope> {
public:
    Input<Buffer<void, 4>> gate{"gate"}, residual{"residual"};
    Input<Buffer<float, 2>> cosine{"cosine"}, sine{"sine"};            // (feature, position)
    Input<Buffer<float, 2>> weights{"weights"};                        // (feature, 0: q, 1: k)

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        Attention::each_tensor(visit);
        visit(gate, valued());
        visit(residual, valued());
    }

    void define() {
        declare(cosine, keyed());
        declare(sine, keyed());
        declare(weights, keyed());
        Func queries = strobe::rotated(strobe::normalised(q, weights, 0), cosine, sine, keyed());
        Func keyed_ = strobe::rotated(strobe::normalised(k, weights, 1), cosine, sine, keyed());
        Halide::RDom c(0, keyed(), "c");
        Func s("scores");
        s(j, i, h, b) += queries(c, i, h, b) * keyed_(c, j, strobe::grouped(h, q, k), b);
        strobe::Softmax p = strobe::softmax(strobe::where(strobe::causal(i, j), s(j, i, h, b) * scale), keys());
        Expr gated = strobe::weighted_sum(p.weights, v, q)(d, i, h, b) *
                     strobe::sigmoid(Halide::cast<float>(gate(d, i, h, b)));
        out(d, i, h, b) = stored(gated + Halide::cast<float>(residual(d, i, h, b)));
        lse(i, h, b) = p.lse(i, h, b);
    }
};

HALIDE_REGISTER_GENERATOR(Rope, rope)
