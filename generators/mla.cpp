#include "strobe/generator.h"

/** Latent attention with the projections absorbed (arXiv:2405.04434): all heads share one
 * latent vector a position, whose first value_dim features are the values too. */
class Mla : public strobe::Algorithm<Mla> {
public:
    Input<Buffer<void, 4>> q{"q"};       // (feature, position, head, batch)
    Input<Buffer<void, 3>> latent{"latent"};  // (feature, position, batch)
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<void, 4>> out{"out"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(latent, keyed());
        visit(out, valued());
    }

    void define() {
        Halide::RDom c(0, keyed(), "c"), all(0, latent.dim(1).extent(), "j");
        Func s("scores"), sum("weighted_sum");
        s(j, i, h, b) += Halide::cast<float>(q(c, i, h, b)) * Halide::cast<float>(latent(c, j, b));
        Expr masked = strobe::where(strobe::causal(i, j), s(j, i, h, b) * scale);
        Func p = strobe::softmax(masked, latent.dim(1).extent()).weights;
        sum(d, i, h, b) += p(all, i, h, b) * Halide::cast<float>(latent(d, all, b));
        out(d, i, h, b) = stored(sum(d, i, h, b));
    }
};

HALIDE_REGISTER_GENERATOR(Mla, mla)
