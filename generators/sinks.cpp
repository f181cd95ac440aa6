#include "strobe/generator.h"

/** A learned logit a head takes part in the softmax, but has no value: attention sinks
 * (arXiv:2508.10925); softmax plus one where it is 0. */
class Sinks : public strobe::Attention<Sinks> {
public:
    Input<Buffer<float, 1>> sink{"sink"};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::softmax(strobe::where(strobe::causal(i, j), s), keys(), sink(h)));
    }
};

HALIDE_REGISTER_GENERATOR(Sinks, sinks)
