#ifndef STROBE_LOWER_SIMT_LOADS_AHEAD_H
#define STROBE_LOWER_SIMT_LOADS_AHEAD_H

/** \file
 * Loads of the next step's tiles, begun while this one's are computed. */

#include "Context.h"

namespace strobe::simt {

/** Where each point of a block has tiles of its own, they fill the multiprocessor's memory, and no other block
 * hides waits. So a step's tiles are loaded while the one before is computed, each to the same place as the last:
 * from its last use there to its first use here. Those that are used last are a group of their own, all others one. */
class LoadsAhead {
    struct Group {
        std::vector<TileOp> loads;
        size_t first_use = 0, last_use = 0;  // ops of the step
    };
    const Context &context;
    std::vector<Group> groups;  // by last use

public:
    LoadsAhead(const Context &context, const StreamPass &pass, bool allowed);
    /** Whether \p load is made here, not in its place. */
    bool has(const TileOp &load) const;
    /** Begins the first tile's; undefined if there are none. */
    Stmt before_walk() const;
    /** Around the n'th op of the step: waits for what it is the first to use, begins the next tile's in what it was the last to. */
    void before_op(size_t n, std::vector<Stmt> &stmts) const;
    void after_op(size_t n, std::vector<Stmt> &stmts) const;
};

}  // namespace strobe::simt

#endif
