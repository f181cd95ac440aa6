#ifndef STROBE_SCHEDULE_WORKLOAD_H
#define STROBE_SCHEDULE_WORKLOAD_H

/** \file
 * What a plan asks of a machine, before tile sizes are chosen: the contractions of
 * each pass with their operands, and how many values of each shape are live at
 * once. Legality and the cost model both count from here. */

#include "derivation/Plan.h"

#include <map>
#include <optional>

namespace strobe {

/** Sizes of axes, where they are known. */
using AxisSizes = std::map<std::string, int64_t>;

/** An input that is read tile by tile as the operand of a contraction. */
struct Operand {
    std::string input;
    Expr load;  // the element that is read: two heads of one input are two operands
    Type type;
    bool by_query = false, by_stream = false;
    bool computed = false;  // beforehand, from elements of this input: `load` is the product then
    std::optional<int64_t> width;  // elements a row or key: the product of its feature and inner axes
};

/** An output with feature columns, which leaves tile by tile. */
struct ResultTile {
    std::string name;
    Type type;
    std::optional<int64_t> width;  // elements a row
};

/** An input with an element for each row and key, or for each row and feature of a result, that lies so that its tiles
 * can be copied in bulk: 16 bits, the innermost index the column, another the row, the others of the grid. */
struct ElementInput {
    std::string input;
    Expr load;
    bool by_stream = false;        // else read with the results
    std::optional<int64_t> width;  // features; of no meaning along the stream
    std::string result;            // the only one that is computed from it; empty if there are several
};

/** A sum of products, over an inner axis or over the stream. */
struct Contraction {
    std::string func;                // the reduction's name, or the first of the moment's
    std::vector<std::string> names;  // all names that a schedule may call it by
    bool scores = false;             // result over query x stream; else over query x features, summed over the stream
    bool matrix = false;             // a sum of products of two operands: the matrix unit can take it
    std::vector<Operand> operands;
    Type result;
    std::optional<int64_t> size;  // scores: the inner extent; else the features
};

/** What of a pass depends on each other through computed values: one softmax and what it weighs. */
struct ChainWorkload {
    std::vector<int> contractions;  // indices into Workload::contractions
    int pivots = 0, row_moments = 0, weight_tiles = 0;
};

/** What lives in one pass. Counts are of distinct values. */
struct PassWorkload {
    std::vector<int> contractions;  // indices into Workload::contractions, those evaluated in this pass
    int pivots = 0, running_pivots = 0;
    int row_moments = 0;   // one element a row
    int weight_tiles = 0;  // rounded and kept for a contraction over the stream
    int element_loads = 0;  // inputs with an element for each row and key, read beside the scores
    bool masked = false;
    bool mask_reads_inputs = false;  // its verdict needs data of the rows and columns
    bool judges_tiles = false;       // some tile inside the solved range may be dead
    std::vector<ChainWorkload> chains;  // that share no computed value, each with a contraction over the stream
    ChainWorkload whole() const {
        return {contractions, pivots, row_moments, weight_tiles};
    }
};

struct Workload {
    std::vector<Contraction> contractions;
    std::vector<PassWorkload> passes;
    std::vector<ResultTile> results;
    std::vector<ElementInput> elements;
    std::vector<std::string> inputs;  // every input tensor by name
    AxisSizes sizes;

    const Contraction *find(const std::string &func) const;
    /** How many chains warpgroups of their own can compute: those of the only pass, at least 1. */
    int chains() const;
    /** One walk in which nothing keeps the matrix units waiting but the weights under a running maximum: no mask, no
     * inputs with an element for each row and key. Its time is bound by the chip's power. */
    bool is_bound_by_power() const;
    /** Distinct operands of the whole program. */
    std::vector<Operand> operands() const;
};

/** The size of an axis: from \p given, else declared, else estimated (AxisSize.h). */
std::optional<int64_t> known_size(const ReductionGraph &graph, const std::string &axis, const AxisSizes &given = {});

Workload workload_of(const ReductionGraph &graph, const Plan &plan, const AxisSizes &given = {});

/** The innermost dimension of the input ends where the operand's features do, so that a copy by tensor map
 * has zeros behind them. */
bool has_zeros_behind(const Expr &load, int64_t features);

/** The names of all inputs that the graph reads, and of its scalar parameters. */
std::vector<std::string> inputs_of(const ReductionGraph &graph);
std::vector<std::string> scalars_of(const ReductionGraph &graph);

/** What scalar inputs hold unless the caller says otherwise: their estimate, default
 * or value, for those that have one. */
std::map<std::string, double> scalar_defaults(const ReductionGraph &graph);

/** The pivot is a maximum that grows while the stream is walked: by its policy, or because
 * weights under it are rounded for a contraction, which keeps 1 but not any number. */
bool grows(const ReductionGraph &graph, const Plan &plan, const Pass &pass, size_t pivot);

/** The pass in which a reduction is complete: the one that reads it out for later
 * passes, else the last. */
int pass_of(const Plan &plan, const std::string &reduction);

}  // namespace strobe

#endif
