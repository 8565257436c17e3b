"""Traffic around an agent: leaders, followers, and what an IDM driver would have done."""
