/** Names the routers' stream of a seed, so that a model initialised from the same seed draws other numbers. */
export const ROUTER_STREAM = 0x726f7574;
