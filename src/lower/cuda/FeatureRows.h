#ifndef STROBE_LOWER_CUDA_FEATURE_ROWS_H
#define STROBE_LOWER_CUDA_FEATURE_ROWS_H

/** \file
 * Code for the rows of a computed operand. A group of lanes has a row; a lane has
 * eight neighbouring features of it, 16 bytes as they lie in shared memory, or a few
 * such chunks. What an element is made of is loaded in whole chunks, too, where the
 * index of an input's innermost dimension moves with the feature, in order or with
 * chunks and the elements inside of them permuted. Reductions over the features are
 * worked out once a row, between the lanes of the group.
 *
 * Everything is computed as rarely as what it depends on allows: once a thread, once
 * for each value of the middle variables, or once a row.
 */

#include "Elements.h"
#include "Prepare.h"

namespace strobe::cuda {

/** The row's coordinate, and the index of an outer dimension, in the Exprs of a FeatureRows. */
extern const char *const position_name;
std::string outer_name(size_t n);

/** How lanes share rows of so many features. */
struct RowLanes {
    int chunks = 0;    // of a row
    int lanes = 0;     // that share it: 8, 16 or 32
    int per_lane = 0;  // chunks
    explicit RowLanes(int features);
    /** The number of a lane's chunk; beyond `chunks` where it has none. */
    Expr chunk(int n) const;
};

class FeatureRows {
public:
    /** `inner` and `middle`: which of position_name and the outer names change with each row,
     * and which less often. The caller binds them in elements.bindings, those of `middle` by name,
     * those of `inner` by name_in_row(name, row); and as name_in_row("$inside", row) an integer that
     * is 0 for a row of zeros. */
    FeatureRows(const TileProgram &program, const PreparedTile &tile, KernelParameters &parameters, Elements &elements,
                const std::set<std::string> &middle, const std::set<std::string> &inner, int rows);
    static std::string name_in_row(const std::string &name, int row) {
        return name + "." + std::to_string(row);
    }

    /** What comes once a thread, and what comes for `rows` rows and one value of the middle variables. */
    Stmt once() const;
    Stmt each() const;
    /** The registers that hold a row's chunk after each(): four words. */
    std::string packed(int row, int chunk) const;

private:
    enum class Level { Once, Between, Each };
    struct Section {
        std::vector<Stmt> first;            // what addresses are made of
        std::vector<Stmt> chunked, single;  // loads of whole chunks, and the same element by element
        std::vector<Stmt> rest;
    };
    struct Held {
        Expr source, value;
        bool first;
    };
    /** For every chunk of a row, where an index points. */
    using Indices = std::vector<int>;
    /** An input's chunk in registers. */
    struct Chunk {
        Expr load;
        std::string chunk;
        Indices starts;
        std::string name;
    };
    class Place;

    const TileProgram &program;
    KernelParameters &parameters;
    Elements &elements;
    const std::string prefix;
    const int features;
    const RowLanes lanes;
    std::set<std::string> often, sometimes;  // names of Level::Each, Between
    Section sections[3];
    std::vector<Held> held;
    std::vector<Chunk> loaded;
    std::vector<std::pair<Expr, std::optional<Indices>>> known_indices;
    std::vector<Expr> whole;  // under which whole chunks may be loaded
    int names = 0;

    Level level_of(const Expr &e) const;
    Section &section(Level level) {
        return sections[static_cast<int>(level)];
    }
    std::string fresh() {
        return prefix + std::to_string(names++);
    }
    Stmt put_together(const std::vector<const Section *> &parts) const;
    Expr at_element(const Expr &e, const std::map<std::string, Expr> &row, int chunk, int element) const;
    Expr placed(const Expr &e, const std::string &chunk);
    Expr hold(const Expr &source, const Expr &value, bool first);
    const std::optional<Indices> &indices_of(const Expr &e, const std::string &chunk);
    Expr load(const Halide::Internal::Call *op, const std::string &chunk, bool first);
    const Chunk &chunk_of(const Halide::Internal::Call *op, const std::string &chunk, const Indices &starts,
                          const Expr &start);
    Expr address_of(const Halide::Internal::Call *op, const std::string &chunk);
    Expr inside(const Halide::Internal::Call *op, size_t d, const Expr &at);
    void require_whole(const Halide::Internal::Call *op, const Indices &starts);
    void reduce(const TileOp &op, const Expr &body, const std::map<std::string, Expr> &row, const std::string &result);
    void compute_row(const PreparedTile &tile, const std::set<std::string> &inner, int row);
};

}  // namespace strobe::cuda

#endif
