#include "strobe/generator.h"

/** Squared ReLU of the scores, divided by its sum over the keys (arXiv:2202.10447 and others). */
class SquaredRelu : public strobe::KeyValue<SquaredRelu> {
public:
    void define() {
        Expr s = max(strobe::scores(q, k)(j, i, h, b) * scale, 0.0f);
        Func weight("weight"), total("total");
        weight(j, i, h, b) = select(strobe::causal(i, j), s * s, 0.0f);
        Halide::RDom all(0, keys(), "j");
        total(i, h, b) += weight(all, i, h, b);
        sum_up(weight(j, i, h, b) / (total(i, h, b) + 1e-6f));
    }
};

HALIDE_REGISTER_GENERATOR(SquaredRelu, squared_relu)
