#include "strobe/generator.h"

/** Sparsemax (arXiv:1602.02068): weights max(s - threshold, 0) that sum to 1. The threshold
 * comes from a fixed number of Newton steps from below, each a sum over all keys. */
class Sparsemax : public strobe::KeyValue<Sparsemax> {
public:
    Halide::GeneratorParam<int> steps{"steps", 5};

    void define() {
        Func score("score"), row_max("row_max");
        score(j, i, h, b) = strobe::scores(q, k)(j, i, h, b) * scale;
        Halide::RDom all(0, keys(), "j");
        row_max(i, h, b) = -std::numeric_limits<float>::infinity();
        row_max(i, h, b) = max(row_max(i, h, b), score(all, i, h, b));
        Expr threshold = row_max(i, h, b) - 1.0f;
        for (int n = 0; n < steps; n++) {
            Func excess("excess"), support("support"), next("next");
            excess(i, h, b) += max(score(all, i, h, b) - threshold, 0.0f);
            support(i, h, b) += select(score(all, i, h, b) > threshold, 1.0f, 0.0f);
            next(i, h, b) = threshold + (excess(i, h, b) - 1.0f) / max(support(i, h, b), 1.0f);
            threshold = next(i, h, b);
        }
        sum_up(max(score(j, i, h, b) - threshold, 0.0f));
    }
};

HALIDE_REGISTER_GENERATOR(Sparsemax, sparsemax)
