#include "strobe/generator.h"
#include "strobe/philox.h"

/** Causal attention with dropout of the weights. What is dropped depends on the seed and on
 * the position alone, so that it is the same in every schedule. */
class Dropout : public strobe::Attention<Dropout> {
public:
    Input<float> rate{"rate", 0.1f, 0.0f, 0.99f};
    Input<int32_t> seed{"seed", 0};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        strobe::Softmax p = strobe::softmax(strobe::where(strobe::causal(i, j), s), keys());
        Func kept("kept");
        kept(j, i, h, b) =
            select(strobe::uniform(j, i, h, b, seed) >= rate, p.weights(j, i, h, b) / (1.0f - rate), 0.0f);
        attend({kept, p.lse});
    }
};

HALIDE_REGISTER_GENERATOR(Dropout, dropout)
