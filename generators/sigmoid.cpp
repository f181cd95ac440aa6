#include "strobe/generator.h"

/** A sigmoid of each score instead of a softmax of all (arXiv:2409.04431). */
class Sigmoid : public strobe::KeyValue<Sigmoid> {
public:
    Input<float> bias{"bias", -6.0f, -100.0f, 100.0f};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale + bias;
        sum_up(select(strobe::causal(i, j), strobe::sigmoid(s), 0.0f));
    }
};

HALIDE_REGISTER_GENERATOR(Sigmoid, sigmoid)
