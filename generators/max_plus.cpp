#include "strobe/generator.h"

/** Max-plus (tropical) attention: the greatest of score plus value. */
class MaxPlus : public strobe::KeyValue<MaxPlus> {
public:
    void define() {
        Func score("score"), best("best");
        score(j, i, h, b) = strobe::where(strobe::causal(i, j), strobe::scores(q, k)(j, i, h, b) * scale);
        Halide::RDom all(0, keys(), "j");
        best(d, i, h, b) = -std::numeric_limits<float>::infinity();
        best(d, i, h, b) = max(best(d, i, h, b), score(all, i, h, b) +
                                                     Halide::cast<float>(v(d, all, strobe::grouped(h, q, v), b)));
        out(d, i, h, b) = stored(best(d, i, h, b));
    }
};

HALIDE_REGISTER_GENERATOR(MaxPlus, max_plus)
