"""The assignment problem on a sparse graph: pairs of largest total weight, no row and no column in two of them.

H. Kuhn: The Hungarian Method for the Assignment Problem (1955), in the form of shortest augmenting paths (R. Jonker,
A. Volgenant, 1987): rows enter one by one, each along the cheapest path that ends at a free column. A path stays inside
its connected block, and where most rows have a column that nobody else wants it is one step long. A row and a column
that have nobody but each other need no path.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping


def assign(weights: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """The column of each row so that the sum of their weights is the largest there can be.

    ``weights`` are those of (row, column), > 0, exact however large; a pair that is left out cannot be chosen. A row
    without a column is left out of the answer. The same weights give the same answer in whatever order they come.
    Raises ValueError for numbers of rows and columns below 0, and for weights that are not above 0.
    """
    if any(row < 0 or column < 0 or weight <= 0 for (row, column), weight in weights.items()):
        raise ValueError("Rows and columns are numbered from 0, and a pair's weight is above 0.")
    of_row, of_column = Counter(row for row, _ in weights), Counter(column for _, column in weights)
    chosen: dict[int, int] = {}
    costs: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, column in sorted(weights):
        if of_row[row] == of_column[column] == 1:
            chosen[row] = column
        else:
            costs[row].append((column, -weights[row, column]))
    problem = _Assignment(costs)
    for row in costs:
        problem.add(row)
    return chosen | {row: column for column, row in problem.row_of.items() if column >= 0}


class _Assignment:
    """The cheapest assignment of the rows that were added. Column -1 - r costs nothing: there row r has no column."""

    def __init__(self, costs: Mapping[int, list[tuple[int, int]]]) -> None:
        self.row_of: dict[int, int] = {}
        self._costs = costs
        # The dual solution: cost - row's price - column's price is never below 0, and 0 for pairs that are chosen.
        self._row_prices: dict[int, int] = {}
        self._column_prices: defaultdict[int, int] = defaultdict(int)

    def add(self, row: int) -> None:
        """Give a row the column that makes the whole cheapest, moving others to others."""
        self._row_prices[row] = min(cost - self._column_prices[column] for column, cost in self._columns(row))
        lengths: dict[int, int] = {}
        reached_from: dict[int, int] = {}
        settled: set[int] = set()
        heap: list[tuple[int, int]] = []
        current, length = row, 0
        while True:
            for column, cost in self._columns(current):
                further = length + cost - self._row_prices[current] - self._column_prices[column]
                if column not in settled and further < lengths.get(column, further + 1):
                    lengths[column], reached_from[column] = further, current
                    heapq.heappush(heap, (further, column))
            length, column = heapq.heappop(heap)
            while column in settled:
                length, column = heapq.heappop(heap)
            if column not in self.row_of:
                break
            settled.add(column)
            current = self.row_of[column]
        self._row_prices[row] += length
        for one in settled:
            self._row_prices[self.row_of[one]] += length - lengths[one]
            self._column_prices[one] -= length - lengths[one]
        self._take(row, column, reached_from)

    def _take(self, row: int, column: int, reached_from: Mapping[int, int]) -> None:
        """Shift each row of the path to the next column, from its free end back to the new row."""
        column_of = {self.row_of[one]: one for one in reached_from if one in self.row_of}
        current = reached_from[column]
        while current != row:
            self.row_of[column] = current
            column = column_of[current]
            current = reached_from[column]
        self.row_of[column] = row

    def _columns(self, row: int) -> list[tuple[int, int]]:
        return [*self._costs[row], (-1 - row, 0)]
