#include "strobe/generator.h"

/** Row-wise gated attention of the Evoformer (AlphaFold 2, Algorithm 7): a mask bias of
 * each sequence, a pair bias shared by all sequences n, a sigmoid gate on the output.
 * Column-wise attention is the same with the strides of the two positions exchanged. */
class Evoformer : public strobe::Algorithm<Evoformer> {
public:
    Input<Buffer<void, 5>> q{"q"}, k{"k"}, v{"v"}, gate{"gate"};  // (feature, position, head, n, batch)
    Input<Buffer<float, 3>> mask_bias{"mask_bias"};               // (position, n, batch)
    Input<Buffer<void, 4>> pair_bias{"pair_bias"};                // (key, query, head, batch)
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<void, 5>> out{"out"};

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(k, keyed());
        visit(v, valued());
        visit(gate, valued());
        visit(pair_bias, 0);
        visit(out, valued());
    }

    void define() {
        const Halide::Var n("n");
        Halide::RDom c(0, keyed(), "c"), all(0, k.dim(1).extent(), "j");
        Func s("scores"), score("score"), row_max("row_max"), e("e"), row_sum("row_sum"), sum("weighted_sum");
        s(j, i, h, n, b) += Halide::cast<float>(q(c, i, h, n, b)) * Halide::cast<float>(k(c, j, h, n, b));
        score(j, i, h, n, b) =
            s(j, i, h, n, b) * scale + mask_bias(j, n, b) + Halide::cast<float>(pair_bias(j, i, h, b));
        row_max(i, h, n, b) = -1e30f;
        row_max(i, h, n, b) = max(row_max(i, h, n, b), score(all, i, h, n, b));
        e(j, i, h, n, b) = exp(score(j, i, h, n, b) - row_max(i, h, n, b));
        row_sum(i, h, n, b) += e(all, i, h, n, b);
        sum(d, i, h, n, b) += e(all, i, h, n, b) * Halide::cast<float>(v(d, all, h, n, b));
        out(d, i, h, n, b) = stored(sum(d, i, h, n, b) / row_sum(i, h, n, b) *
                                    strobe::sigmoid(Halide::cast<float>(gate(d, i, h, n, b))));
    }
};

HALIDE_REGISTER_GENERATOR(Evoformer, evoformer)
