#include "strobe/generator.h"

/** ReLU of the scores, divided by the number of keys (arXiv:2309.08586). */
class Relu : public strobe::KeyValue<Relu> {
public:
    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        sum_up(max(s, 0.0f) / Halide::cast<float>(keys()));
    }
};

HALIDE_REGISTER_GENERATOR(Relu, relu)
