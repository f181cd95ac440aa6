#include "strobe/generator.h"

/** How much attention each key received: the column sums of the causal probabilities. The rows'
 * lse comes from attention itself; this is the second pass over the scores, key by key. */
class ColumnSums : public strobe::Algorithm<ColumnSums> {
public:
    Input<Buffer<void, 4>> q{"q"}, k{"k"};
    Input<Buffer<float, 3>> lse{"lse"};
    Input<float> scale{"scale", 0.125f, 1e-6f, 1e6f};
    Output<Buffer<float, 3>> sums{"sums"};  // (key, head, batch)

    template<typename Visit>
    void each_tensor(const Visit &visit) {
        visit(q, keyed());
        visit(k, keyed());
    }

    void define() {
        Halide::RDom rows(0, q.dim(1).extent(), "i");
        Func s = strobe::scores(q, k), received("received");
        received(j, h, b) += select(strobe::causal(rows, j), exp(s(j, rows, h, b) * scale - lse(rows, h, b)), 0.0f);
        sums(j, h, b) = received(j, h, b);
        declare(sums, 0);
    }
};

HALIDE_REGISTER_GENERATOR(ColumnSums, column_sums)
