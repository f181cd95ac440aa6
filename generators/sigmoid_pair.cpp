#include "strobe/generator.h"

/** Sigmoid attention (arXiv:2409.04431) with a bias for each pair of positions, as Evoformer's softmax has it. */
class SigmoidPair : public strobe::KeyValue<SigmoidPair> {
public:
    Input<Buffer<void, 4>> pair_bias{"pair_bias"};  // (key, query, head, batch)

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        KeyValue::each_tensor(visit);
        visit(pair_bias, 0);
    }

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale + Halide::cast<float>(pair_bias(j, i, h, b));
        sum_up(strobe::sigmoid(s));
    }
};

HALIDE_REGISTER_GENERATOR(SigmoidPair, sigmoid_pair)
